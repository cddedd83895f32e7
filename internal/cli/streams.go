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

// streamsCommand is the streams command, with plan, apply and accept-loss under it.
type streamsCommand struct {
	consoleCommand
	deleteMessages bool
}

func (p *program) streamsCommand() *cobra.Command {
	c := &streamsCommand{consoleCommand: consoleCommand{program: p}}
	list := c.newList("streams", "List the streams of a running appliance",
		"  muster streams\n  muster streams --json", c.list)
	list.Long = `List the streams of a running appliance: as a table on a terminal, otherwise one name a
line. Differences from the configuration are printed to standard error.`
	list.AddCommand(c.planCommand(), c.applyCommand(), c.acceptLossCommand())
	return list
}

func (c *streamsCommand) planCommand() *cobra.Command {
	cmd := c.newQuery("plan", "Show the changes that make the streams match the configuration",
		"  muster streams plan --config /etc/muster/appliance.toml\n"+
			"  muster streams plan --config /etc/muster/appliance.toml --json", cobra.NoArgs, c.plan)
	cmd.Flags().Lookup("config").Usage = configHelpStreams
	return cmd
}

func (c *streamsCommand) applyCommand() *cobra.Command {
	cmd := c.newCommand("apply", "Make the streams match the configuration",
		"  muster streams apply --config /etc/muster/appliance.toml\n"+
			"  muster streams apply --config /etc/muster/appliance.toml --delete-messages", cobra.NoArgs, c.apply)
	cmd.Flags().Lookup("config").Usage = configHelpStreams
	cmd.Long = `Make the streams of a running appliance match the configuration. An appliance applies
changes automatically when it starts, except those that would delete stored messages;
this command applies them with --delete-messages.`
	cmd.Flags().BoolVar(&c.deleteMessages, "delete-messages", false, "also apply changes that delete stored messages")
	return cmd
}

func (c *streamsCommand) list(ctx context.Context, _ []string) error {
	client, err := c.connect()
	if err != nil {
		return err
	}
	answer, err := client.Streams(ctx)
	switch {
	case err != nil:
		return err
	case c.asJSON:
		return c.printJSON(answer)
	case c.asCSV:
		return c.printCSV(streamRecords(answer.Streams)...)
	default:
		return c.printStreams(answer)
	}
}

func (c *streamsCommand) printStreams(answer console.Streams) error {
	if isTerminal(c.out) {
		header := []string{"STREAM", "MESSAGES", "SIZE", "LIMIT", "LAST", "SUBJECTS"}
		if err := c.printTable(header, streamRows(answer.Streams)); err != nil {
			return err
		}
	} else {
		for _, s := range answer.Streams {
			fmt.Fprintln(c.out, s.Config.Name)
		}
	}
	for _, change := range answer.Changes {
		fmt.Fprintf(c.err, "not as declared: %s\n", change)
	}
	if answer.Overlap != "" {
		fmt.Fprintf(c.err, "not as declared: %s\n", answer.Overlap)
	}
	return nil
}

// streamRows are the rows of the table.
func streamRows(streams []jsconfig.StreamInfo) [][]string {
	rows := make([][]string, len(streams))
	for i, s := range streams {
		rows[i] = []string{
			s.Config.Name, count(s.State.Msgs), humanize.IBytes(s.State.Bytes),
			byteLimit(s.Config.MaxBytes), lastTime(s.State), strings.Join(s.Config.Subjects, " "),
		}
	}
	return rows
}

// streamRecords are the records of the CSV. A stream without a limit has max_bytes -1, as in NATS.
func streamRecords(streams []jsconfig.StreamInfo) [][]string {
	records := [][]string{{"name", "messages", "bytes", "max_bytes", "last", "subjects"}}
	for _, s := range streams {
		records = append(records, []string{
			s.Config.Name, strconv.FormatUint(s.State.Msgs, 10), strconv.FormatUint(s.State.Bytes, 10),
			strconv.FormatInt(s.Config.MaxBytes, 10), timestamp(s.State.LastTime), strings.Join(s.Config.Subjects, " "),
		})
	}
	return records
}

func byteLimit(n int64) string {
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

// loadDeclared loads the configuration that declares the streams. Without --config that is a lab
// in the working directory: what a lab declares must not be compared with the streams of an
// installed appliance.
func (c *streamsCommand) loadDeclared() (*appliance.Config, error) {
	cfg, err := appliance.Load(c.configFile)
	if err != nil || c.configFile != "" {
		return cfg, err
	}
	if _, err := os.Stat(cfg.TokenFile()); err != nil {
		return nil, usageError{fmt.Errorf("no lab runs in %s; name the configuration of the appliance with --config",
			cfg.DataDir)}
	}
	return cfg, nil
}

func (c *streamsCommand) plan(ctx context.Context, _ []string) error {
	cfg, err := c.loadDeclared()
	if err != nil {
		return err
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	answer, err := client.Streams(ctx)
	if err != nil {
		return err
	}
	changes, err := jsconfig.Plan(answer.Streams, cfg.DeclaredStreams().StreamConfigs(), time.Now())
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(append([]jsconfig.Change{}, changes...))
	}
	if len(changes) == 0 {
		fmt.Fprintln(c.out, "All streams are as declared.")
	}
	for _, change := range changes {
		fmt.Fprintln(c.out, change)
	}
	return nil
}

// apply connects to the broker, because the console is read-only.
func (c *streamsCommand) apply(ctx context.Context, _ []string) error {
	cfg, err := c.loadDeclared()
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
	results, err := jsconfig.Reconcile(ctx, js, cfg.DeclaredStreams().StreamConfigs(), time.Now(), c.deleteMessages)
	if err != nil {
		return err
	}
	return c.printResults(results)
}

// printResults prints what became of each change. It returns an error when one was not applied.
func (c *streamsCommand) printResults(results []jsconfig.Result) error {
	if c.asJSON {
		if err := c.printJSON(resultRows(results)); err != nil {
			return err
		}
	} else if len(results) == 0 {
		fmt.Fprintln(c.out, "All streams are as declared.")
	}
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
		}
		if !c.asJSON {
			fmt.Fprintln(c.out, resultLine(r))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d changes were not made", failed, len(results))
	}
	return nil
}

func resultLine(r jsconfig.Result) string {
	if r.Err != nil {
		return fmt.Sprintf("not done: %s: %s", r.Change, r.Err)
	}
	return "done: " + r.Change.String()
}

// resultRow is one element of streams apply --json.
type resultRow struct {
	jsconfig.Change
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

func resultRows(results []jsconfig.Result) []resultRow {
	rows := []resultRow{}
	for _, r := range results {
		row := resultRow{Change: r.Change, Done: r.Err == nil}
		if r.Err != nil {
			row.Error = r.Err.Error()
		}
		rows = append(rows, row)
	}
	return rows
}
