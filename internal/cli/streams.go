package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/jsconfig"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
)

// streams is the streams command and those under it.
type streams struct {
	asker
	deletes bool
}

func (p *program) streamsCommand() *cobra.Command {
	s := &streams{asker: asker{program: p}}
	list := s.listing("streams", "List the streams of a running appliance",
		"  muster streams\n  muster streams --json", s.list)
	list.Long = `List the streams of a running appliance: a table on a terminal, one name a line otherwise.`
	plan := s.asking("plan", "Show what would change to make the streams as declared",
		"  muster streams plan --config /etc/muster/appliance.toml\n  muster streams plan --config /etc/muster/appliance.toml --json", cobra.NoArgs, s.plan)
	plan.Flags().Lookup("config").Usage = configHelpStreams
	list.AddCommand(plan, s.applyCommand())
	return list
}

func (s *streams) applyCommand() *cobra.Command {
	cmd := s.command("apply", "Make the streams as declared",
		"  muster streams apply --config /etc/muster/appliance.toml\n  muster streams apply --config /etc/muster/appliance.toml --delete-messages", cobra.NoArgs, s.apply)
	cmd.Flags().Lookup("config").Usage = configHelpStreams
	cmd.Long = `Make the streams of a running appliance as the configuration declares them. An
appliance does this by itself when it starts, but never what would delete stored
messages: that is left to this command, with --delete-messages.`
	cmd.Flags().BoolVar(&s.deletes, "delete-messages", false, "make also the changes that delete stored messages")
	return cmd
}

func (s *streams) list(ctx context.Context, _ []string) error {
	var answer console.Streams
	if err := s.ask(ctx, "/api/v1/streams", &answer); err != nil {
		return err
	}
	switch {
	case s.asJSON:
		return s.printJSON(answer)
	case s.asCSV:
		return s.printCSV(streamFigures(answer.Streams)...)
	case !isTerminal(s.out):
		for _, h := range answer.Streams {
			fmt.Fprintln(s.out, h.Config.Name)
		}
	default:
		if err := s.printTable([]string{"STREAM", "MESSAGES", "SIZE", "OF", "LAST", "SUBJECTS"}, streamRows(answer.Streams)); err != nil {
			return err
		}
	}
	for _, change := range answer.Changes {
		fmt.Fprintf(s.err, "not as declared: %s\n", change)
	}
	if answer.Overlap != "" {
		fmt.Fprintf(s.err, "not as declared: %s\n", answer.Overlap)
	}
	return nil
}

func streamRows(streams []jsconfig.StreamInfo) [][]string {
	rows := make([][]string, len(streams))
	for i, h := range streams {
		rows[i] = []string{
			h.Config.Name, count(h.State.Msgs), humanize.IBytes(h.State.Bytes),
			limit(h.Config.MaxBytes), lastTime(h.State), strings.Join(h.Config.Subjects, " "),
		}
	}
	return rows
}

// streamFigures are the same for programs, under their header; without a limit max_bytes is -1, as NATS has it.
func streamFigures(streams []jsconfig.StreamInfo) [][]string {
	rows := [][]string{{"name", "messages", "bytes", "max_bytes", "last", "subjects"}}
	for _, h := range streams {
		rows = append(rows, []string{
			h.Config.Name, strconv.FormatUint(h.State.Msgs, 10), strconv.FormatUint(h.State.Bytes, 10),
			strconv.FormatInt(h.Config.MaxBytes, 10), moment(h.State.LastTime), strings.Join(h.Config.Subjects, " "),
		})
	}
	return rows
}

func limit(n int64) string {
	if n <= 0 {
		return "unlimited"
	}
	return humanize.IBytes(uint64(n))
}

func lastTime(state jetstream.StreamState) string {
	if state.Msgs == 0 {
		return "never"
	}
	return ago(state.LastTime)
}

// wantConfig keeps what a lab declares from being held against an installed appliance.
func (s *streams) wantConfig() error {
	if s.configFile != "" {
		return nil
	}
	cfg, err := appliance.Load("")
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.TokenFile()); err != nil {
		return usageError{fmt.Errorf("no lab runs in %s; name the configuration of the appliance with --config", cfg.DataDir)}
	}
	return nil
}

func (s *streams) plan(ctx context.Context, _ []string) error {
	if err := s.wantConfig(); err != nil {
		return err
	}
	cfg, err := appliance.Load(s.configFile)
	if err != nil {
		return err
	}
	var answer console.Streams
	if err := s.ask(ctx, "/api/v1/streams", &answer); err != nil {
		return err
	}
	changes, err := jsconfig.Plan(answer.Streams, cfg.Declared.StreamConfigs(), time.Now())
	if err != nil {
		return err
	}
	if s.asJSON {
		return s.printJSON(append([]jsconfig.Change{}, changes...))
	}
	if len(changes) == 0 {
		fmt.Fprintln(s.out, "All streams are as declared.")
	}
	for _, change := range changes {
		fmt.Fprintln(s.out, change)
	}
	return nil
}

// apply connects to the broker itself, because the console changes nothing.
func (s *streams) apply(ctx context.Context, _ []string) error {
	if err := s.wantConfig(); err != nil {
		return err
	}
	cfg, err := appliance.Load(s.configFile)
	if err != nil {
		return err
	}
	nc, err := connectAdmin(cfg)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	results, err := jsconfig.Reconcile(ctx, js, cfg.Declared.StreamConfigs(), time.Now(), s.deletes)
	if err != nil {
		return err
	}
	return s.printResults(results)
}

// printResults says what was done; a change that was not made fails the command.
func (s *streams) printResults(results []jsconfig.Result) error {
	if s.asJSON {
		if err := s.printJSON(resultRows(results)); err != nil {
			return err
		}
	} else if len(results) == 0 {
		fmt.Fprintln(s.out, "All streams are as declared.")
	}
	failed := 0
	for _, o := range results {
		if o.Err != nil {
			failed++
		}
		if !s.asJSON {
			fmt.Fprintln(s.out, resultLine(o))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d changes were not made", failed, len(results))
	}
	return nil
}

func resultLine(o jsconfig.Result) string {
	if o.Err != nil {
		return fmt.Sprintf("not done: %s: %s", o.Change, o.Err)
	}
	return "done: " + o.Change.String()
}

// resultRow is a line of streams apply --json.
type resultRow struct {
	jsconfig.Change
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

func resultRows(results []jsconfig.Result) []resultRow {
	rows := []resultRow{}
	for _, o := range results {
		row := resultRow{Change: o.Change, Done: o.Err == nil}
		if o.Err != nil {
			row.Error = o.Err.Error()
		}
		rows = append(rows, row)
	}
	return rows
}
