package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/monitoring"
	"github.com/spf13/cobra"
)

// hostCheck is the check host command.
type hostCheck struct {
	consoleCommand
	machine
	format  string
	cfg     *appliance.Config
	running bool // the appliance of the configuration
	result  monitoring.Result
}

func (p *program) hostCommand() *cobra.Command {
	c := &hostCheck{consoleCommand: consoleCommand{program: p}, machine: thisMachine()}
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Check whether this machine has what the configuration needs",
		Long: `Check whether this machine has what the configuration needs: ports, descriptors, backlog,
connection tracking, disk and clock; what is missing is said with its cure. The limits are
those of the appliance where it runs, otherwise those of this shell. Nothing is changed.
The exit status is 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: it could not look.`,
		Example: `  muster check host --config /etc/muster/appliance.toml
  muster check host --format nagios`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	c.configFlag(cmd, configHelpConsole)
	cmd.Flags().StringVar(&c.format, "format", "text", "nagios, json, prometheus or text")
	return cmd
}

func (c *hostCheck) run(ctx context.Context) (err error) {
	if !slices.Contains(monitoring.Formats(), c.format) {
		return usageError{fmt.Errorf("--format %q: want one of %v", c.format, monitoring.Formats())}
	}
	if c.cfg, err = appliance.Load(c.configPath()); err != nil {
		c.result.AddStatus("look", err.Error(), monitoring.Unknown)
		return c.writeResult(&c.result, c.format, "muster host")
	}
	c.askRunning(ctx)
	for _, look := range []struct {
		name string
		at   func() (text string, status monitoring.Status, err error)
	}{
		{"broker.listen", func() (string, monitoring.Status, error) { return c.port(c.cfg.Broker.Listen) }},
		{"console.listen", func() (string, monitoring.Status, error) { return c.port(c.cfg.Console.Listen) }},
		{"descriptors", c.lookDescriptors}, {"backlog", c.lookBacklog}, {"conntrack", c.lookTracked}, {"disk", c.lookDisk}, {"clock", c.lookClock},
	} {
		text, status, err := look.at()
		if err != nil {
			text, status = err.Error(), monitoring.Unknown
		}
		c.result.AddStatus(look.name, look.name+": "+text, status)
	}
	return c.writeResult(&c.result, c.format, "muster host")
}

// writeResult writes what a check has found, and is its exit status.
func (p *program) writeResult(result *monitoring.Result, format, name string) error {
	if err := result.Write(p.out, format, name); err != nil {
		return err
	}
	if status := result.Status(); status != monitoring.OK {
		return silentError{int(status)}
	}
	return nil
}

// askRunning finds out whether the appliance of the configuration runs, and its limits then.
func (c *hostCheck) askRunning(ctx context.Context) {
	client, err := c.connect()
	if err != nil {
		return
	}
	server, err := client.Server(ctx)
	if err != nil || server.Name != c.cfg.Identity {
		return
	}
	c.running = true
	metrics, err := client.Metrics(ctx)
	if limit, ok := metrics.Min("process_max_fds"); err == nil && ok {
		c.descriptors = func() (uint64, error) { return uint64(limit), nil }
	}
}
