package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/muster-appliance/muster/internal/monitoring"
	"github.com/spf13/cobra"
)

// itemLook is the name of the item with the reason why a check could not be made. The name is in the
// output of --format json and prometheus, so it stays.
const itemLook = "look"

// maxNamedNodes is how many nodes of a state a check names.
const maxNamedNodes = 5

// healthCommand is the check health command.
type healthCommand struct {
	consoleCommand
	format     string
	state      string                           // --state, a file; empty: none
	flags      map[string]*string               // thresholds as given, by name of the flag
	thresholds map[string]monitoring.Thresholds // the same, parsed
	result     monitoring.Result
}

// healthFlags are the figures that are judged, with their default thresholds.
var healthFlags = []struct{ name, thresholds, help string }{
	{"nodes", "", "thresholds for all nodes that have registered: too few, as 90,50, or too many"},
	{"down", "5%,20%", "thresholds for nodes that are down"},
	{"late", "10%,40%", "thresholds for nodes that are late"},
	{"dropped", "1,1", "thresholds for messages that adapters dropped since the last check, see --state"},
	{"rejected", "1,1000", "thresholds for messages that adapters rejected since the last check, see --state"},
	{"refused", "", "thresholds for connections that the broker refused since the last check, see --state"},
	{"sites", "1,1", "thresholds for sites that are down: their uplinks are lost; at a hub"},
	{"disconnected", "60,300", "thresholds for the seconds since the connection to a hub ended; at an edge"},
	{"lag", "300,3600", "thresholds for the lag of forwarded messages, in seconds; paused streams do not count"},
	{"certificate", "30,7", "thresholds for the days until the certificate of the broker or the console expires"},
}

func (p *program) healthCommand() *cobra.Command {
	c := &healthCommand{
		consoleCommand: consoleCommand{program: p},
		flags:          map[string]*string{}, thresholds: map[string]monitoring.Thresholds{},
	}
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check a running appliance, as a monitoring plugin",
		Long: `Check a running appliance, as a monitoring plugin: nodes, messages, certificate, streams
and disk. Thresholds are written "warning,critical"; those for nodes may be per cent. If
critical is less than warning, low values are bad. An empty threshold turns a check off.
Counts are since the last check when --state names a file to remember them in, otherwise
since the appliance started. The exit status is 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN:
the check could not be made.`,
		Example: `  muster check health --down 1%,5% --state /var/tmp/muster-check.json
  muster check health --nodes 2300,2000 --format prometheus`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	c.configFlag(cmd, configHelpConsole)
	c.consoleFlags(cmd)
	cmd.Flags().StringVar(&c.format, "format", "nagios", "nagios, json, prometheus or text")
	cmd.Flags().StringVar(&c.state, "state", "",
		"file in which to remember the counts until the next check; without it, counts are since the start")
	for _, f := range healthFlags {
		c.flags[f.name] = cmd.Flags().String(f.name, f.thresholds, f.help)
	}
	return cmd
}

func (c *healthCommand) run(ctx context.Context) error {
	if !slices.Contains(monitoring.Formats(), c.format) {
		return usageError{fmt.Errorf("--format %q: want one of %v", c.format, monitoring.Formats())}
	}
	for name, text := range c.flags {
		var err error
		if c.thresholds[name], err = monitoring.ParseThresholds(*text); err != nil {
			return usageError{fmt.Errorf("--%s: %w", name, err)}
		}
	}
	if err := c.checkAll(ctx); err != nil {
		c.result.AddStatus(itemLook, explain(err).Error(), monitoring.Unknown)
	}
	return c.writeResult(&c.result, c.format, "muster")
}

// checkAll makes every check, until one cannot be made: the others would fail for the same reason.
func (c *healthCommand) checkAll(ctx context.Context) error {
	client, err := c.connect()
	if err != nil {
		return err
	}
	for _, check := range []func(context.Context, *apiclient.Client) error{
		c.checkReady, c.checkNodes, c.checkForward, c.checkMetrics,
	} {
		if err := check(ctx, client); err != nil {
			return err
		}
	}
	return nil
}

// checkReady reports why the appliance is not ready: streams, disk, adapters. Lost messages are
// critical too, other warnings are warnings.
func (c *healthCommand) checkReady(ctx context.Context, client *apiclient.Client) error {
	r, err := client.Ready(ctx)
	if err != nil {
		return err
	}
	for _, reason := range r.Reasons {
		text := fmt.Sprintf("%s %s: %s", reason.Code, reason.What, reason.Detail)
		c.result.AddStatus("ready", text, monitoring.Critical)
	}
	for _, warning := range r.Warnings {
		if warning.Code == appliance.CodeHubDisconnected {
			continue // checkConnected judges for how long
		}
		status := monitoring.Warning
		if warning.Code == integrity.CodeLost {
			status = monitoring.Critical
		}
		c.result.AddStatus(warning.Code, fmt.Sprintf("%s %s: %s", warning.Code, warning.What, warning.Detail), status)
	}
	if r.Ready {
		c.result.AddStatus("ready", "ready", monitoring.OK)
	}
	return nil
}

// checkNodes judges how many nodes have registered, and how many of these are down or late. Without
// thresholds for any of them it asks nothing, so that it works with the fleet view disabled.
func (c *healthCommand) checkNodes(ctx context.Context, client *apiclient.Client) error {
	if !c.thresholds["nodes"].IsSet() && !c.thresholds["down"].IsSet() && !c.thresholds["late"].IsSet() {
		return nil
	}
	summary, err := client.Fleet(ctx)
	if err != nil {
		return fmt.Errorf(`%w; --down "" --late "" turns the checks of nodes off`, err)
	}
	registered := summary.Nodes - summary.States[fleet.Connected]
	all := float64(registered)
	c.result.Evaluate("nodes", count(uint64(registered))+" nodes", all, all, c.thresholds["nodes"])
	for _, state := range []fleet.State{fleet.Down, fleet.Late} {
		n := summary.States[state]
		text := fmt.Sprintf("%s %s", count(uint64(n)), state)
		if n > 0 {
			text += " (" + firstNodes(ctx, client, state) + ")"
		}
		c.result.Evaluate(string(state), text, float64(n), all, c.thresholds[string(state)])
	}
	if len(summary.Conflicts) > 0 {
		c.result.AddStatus("conflict", conflictText(summary.Conflicts), monitoring.Warning)
	}
	return nil
}

// conflictText says how many identities are used by two nodes, and names the first.
func conflictText(names []string) string {
	text := "1 identity is used by two nodes"
	if len(names) > 1 {
		text = count(uint64(len(names))) + " identities are used by two nodes each"
	}
	return fmt.Sprintf("%s (%s)", text, strings.Join(abbreviate(names), " "))
}

// abbreviate returns the first maxNamedNodes of some names, and … if there are more.
func abbreviate(names []string) []string {
	if len(names) > maxNamedNodes {
		return append(slices.Clone(names[:maxNamedNodes]), "…")
	}
	return names
}

// firstNodes names the first nodes of a state. An error takes the place of the names: the counts
// can be judged without them.
func firstNodes(ctx context.Context, client *apiclient.Client, state fleet.State) string {
	names, err := client.NodeNames(ctx, apiclient.NodeQuery{States: []string{string(state)}, Limit: maxNamedNodes + 1})
	if err != nil {
		return err.Error()
	}
	return strings.Join(abbreviate(names), " ")
}

// healthCounters only grow while an appliance runs.
var healthCounters = []struct{ name, metric, text string }{
	{"dropped", "muster_adapter_dropped_total", "messages dropped"},
	{"rejected", "muster_adapter_rejected_total", "messages rejected"},
	{"refused", "muster_broker_refused_total", "connections refused"},
}

// checkMetrics judges the certificate, and what was counted since the last check, or without --state
// since the appliance started.
func (c *healthCommand) checkMetrics(ctx context.Context, client *apiclient.Client) error {
	metrics, err := client.Metrics(ctx)
	if err != nil {
		return err
	}
	if days, ok := minCertificateDays(metrics); ok {
		text := fmt.Sprintf("certificate expires in %.1f days", days)
		c.result.Evaluate("certificate", text, days, days, c.thresholds["certificate"])
	}
	last, err := readHealthState(c.state)
	if err != nil {
		return err
	}
	next := healthState{At: time.Now().UTC(), Counts: map[string]float64{}}
	for _, counter := range healthCounters {
		n := metrics.Sum(counter.metric)
		next.Counts[counter.name] = n
		if before := last.Counts[counter.name]; before <= n { // otherwise the appliance was restarted
			n -= before
		}
		text := fmt.Sprintf("%s %s%s", count(uint64(n)), counter.text, last.since())
		c.result.Evaluate(counter.name, text, n, n, c.thresholds[counter.name])
	}
	return next.write(c.state)
}
