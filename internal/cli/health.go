package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/monitoring"
	"github.com/spf13/cobra"
)

// mostNamed is how many nodes a check names.
const mostNamed = 5

// check is the check health command.
type check struct {
	asker
	format string
	state  string
	limits map[string]*string // by name of the flag
	parsed map[string]monitoring.Thresholds
	result monitoring.Result
}

// judged are the figures, with their thresholds where none are given.
var judged = []struct{ name, thresholds, help string }{
	{"nodes", "", "all nodes; too few, as 90,50, or too many"},
	{"down", "5%,20%", "nodes that are down"},
	{"late", "10%,40%", "nodes that are late"},
	{"dropped", "1,1", "messages that adapters dropped since the last check"},
	{"rejected", "1,1000", "messages that adapters rejected since the last check"},
	{"refused", "", "connections that the broker refused since the last check"},
	{"certificate", "30,7", "days left on the certificate of the broker or the console"},
}

func (p *program) healthCommand() *cobra.Command {
	c := &check{asker: asker{program: p}, limits: map[string]*string{}, parsed: map[string]monitoring.Thresholds{}}
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check a running appliance, as a monitoring plugin",
		Long: `Check a running appliance, as a monitoring plugin: nodes, messages, certificate, streams
and disk. Thresholds are "warning,critical", of nodes in per cent too; with critical below
warning, too few are wrong, and an empty text judges nothing. The exit status is 0 OK,
1 WARNING, 2 CRITICAL, 3 UNKNOWN: it could not look. Counts are since the last check
where --state names a file to remember them in, otherwise since the appliance started.`,
		Example: `  muster check health --down 1%,5% --state /var/tmp/muster-check.json
  muster check health --nodes 2300,2000 --format prometheus`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	c.configFlag(cmd, configHelpConsole)
	c.serverFlag(cmd)
	cmd.Flags().StringVar(&c.format, "format", "nagios", "nagios, json, prometheus or text")
	cmd.Flags().StringVar(&c.state, "state", "", "file to remember the counts in until the next check")
	for _, j := range judged {
		c.limits[j.name] = cmd.Flags().String(j.name, j.thresholds, j.help)
	}
	return cmd
}

func (c *check) run(ctx context.Context) error {
	if !slices.Contains(monitoring.Formats, c.format) {
		return usageError{fmt.Errorf("--format %q: want one of %v", c.format, monitoring.Formats)}
	}
	for name, text := range c.limits {
		var err error
		if c.parsed[name], err = monitoring.ParseThresholds(*text); err != nil {
			return usageError{fmt.Errorf("--%s: %w", name, err)}
		}
	}
	for _, look := range []func(context.Context) error{c.ready, c.nodes, c.messages} {
		if err := look(ctx); err != nil {
			c.result.AddStatus("look", err.Error(), monitoring.Unknown)
			break // the others would say the same
		}
	}
	return c.writeResult(&c.result, c.format, "muster")
}

// ready says why the appliance is not ready: streams, disk, adapters.
func (c *check) ready(ctx context.Context) error {
	ready, reasons, err := c.readiness(ctx)
	if err != nil {
		return err
	}
	for _, r := range reasons {
		c.result.AddStatus("ready", fmt.Sprintf("%s %s: %s", r.Code, r.What, r.Detail), monitoring.Critical)
	}
	if ready {
		c.result.AddStatus("ready", "ready", monitoring.OK)
	}
	return nil
}

// nodes judges how many there are and how many are down or late. Where none of that is
// wanted, nobody may watch them.
func (c *check) nodes(ctx context.Context) error {
	if !c.parsed["nodes"].IsSet() && !c.parsed["down"].IsSet() && !c.parsed["late"].IsSet() {
		return nil
	}
	var s fleet.Summary
	if err := c.ask(ctx, "/api/v1/fleet", &s); err != nil {
		return fmt.Errorf(`%w; --down "" --late "" judges no nodes`, err)
	}
	all := float64(s.Nodes)
	c.result.Evaluate("nodes", count(uint64(s.Nodes))+" nodes", all, all, c.parsed["nodes"])
	for _, state := range []fleet.State{fleet.Down, fleet.Late} {
		text := fmt.Sprintf("%s %s", count(uint64(s.States[state])), state)
		if s.States[state] > 0 {
			text += " (" + c.named(ctx, state) + ")"
		}
		c.result.Evaluate(string(state), text, float64(s.States[state]), all, c.parsed[string(state)])
	}
	return nil
}

// named are the first nodes of a state; it is no harm where they cannot be had.
func (c *check) named(ctx context.Context, state fleet.State) string {
	body, err := c.fetch(ctx, fmt.Sprintf("/api/v1/nodes?format=names&limit=%d&state=%s", mostNamed+1, state))
	if err != nil {
		return err.Error()
	}
	defer body.Close()
	var names []string
	for lines := bufio.NewScanner(body); lines.Scan(); {
		names = append(names, lines.Text())
	}
	if len(names) > mostNamed {
		names[mostNamed] = "…"
	}
	return strings.Join(names, " ")
}

// counted are what only grows while an appliance runs.
var counted = []struct{ name, metric, text string }{
	{"dropped", "muster_adapter_dropped_total", "messages dropped"},
	{"rejected", "muster_adapter_rejected_total", "messages rejected"},
	{"refused", "muster_broker_refused_total", "connections refused"},
}

// messages judges what was counted since the last check, and the certificate.
func (c *check) messages(ctx context.Context) error {
	families, err := c.metrics(ctx)
	if err != nil {
		return err
	}
	counts := map[string]float64{}
	for _, one := range counted {
		counts[one.name] = sum(families[one.metric])
	}
	if left := certificate(families); left != nil {
		c.result.Evaluate("certificate", fmt.Sprintf("certificate for %.1f days", *left), *left, *left, c.parsed["certificate"])
	}
	last, err := c.remembered()
	if err != nil {
		return err
	}
	for _, one := range counted {
		grown := counts[one.name]
		if before := last.Counts[one.name]; before <= grown { // otherwise it has started again
			grown -= before
		}
		c.result.Evaluate(one.name, fmt.Sprintf("%s %s%s", count(uint64(grown)), one.text, last.since()), grown, grown, c.parsed[one.name])
	}
	return c.remember(memory{time.Now().UTC(), counts})
}

// memory is what the next check wants to know of this one.
type memory struct {
	At     time.Time          `json:"at"`
	Counts map[string]float64 `json:"counts"`
}

func (m memory) since() string {
	if m.At.IsZero() {
		return ""
	}
	return " since " + m.At.Format(time.RFC3339)
}

func (c *check) remembered() (last memory, err error) {
	if c.state == "" {
		return last, nil
	}
	text, err := os.ReadFile(c.state)
	if errors.Is(err, fs.ErrNotExist) {
		return last, nil
	}
	if err != nil {
		return last, err
	}
	if err := json.Unmarshal(text, &last); err != nil {
		return last, fmt.Errorf("%s is not what a check has written; remove it: %w", c.state, err)
	}
	return last, nil
}

// remember writes beside and renames: two checks at once leave one memory, and no half.
func (c *check) remember(m memory) error {
	if c.state == "" {
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(c.state), filepath.Base(c.state)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = cmp.Or(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), c.state)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
