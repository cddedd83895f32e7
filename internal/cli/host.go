package cli

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/muster-appliance/muster/internal/monitoring"
	"github.com/spf13/cobra"
)

// hostCommand is the check host command.
type hostCommand struct {
	consoleCommand
	machine
	format  string
	cfg     *appliance.Config
	running bool // the appliance of the configuration is running
	result  monitoring.Result
}

// machine reads the facts of the host. Tests replace its functions.
type machine struct {
	descriptors, backlog, tracked func() (uint64, error)
	clockSynced                   func() (bool, error)
	space                         func(dir string) (host.Space, error)
	listen                        func(address string) error // nil: the address is free
}

func thisMachine() machine {
	return machine{host.Descriptors, host.Backlog, host.Tracked, host.ClockSynced, host.SpaceOf, tryListen}
}

func tryListen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

func (p *program) hostCommand() *cobra.Command {
	c := &hostCommand{consoleCommand: consoleCommand{program: p}, machine: thisMachine()}
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Check whether this machine has what the configuration needs",
		Long: `Check whether this machine has what the configuration needs: ports, descriptors, listen
backlog, connection tracking, disk space and a synchronized clock. Each problem is printed
with the command or setting that solves it. Descriptors are those of the appliance if it is
running, otherwise those of this shell. Nothing is changed. The exit status is 0 OK,
1 WARNING, 2 CRITICAL, 3 UNKNOWN: the check could not be made.`,
		Example: `  muster check host --config /etc/muster/appliance.toml
  muster check host --format nagios`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	c.configFlag(cmd, configHelpHost)
	cmd.Flags().StringVar(&c.format, "format", "text", "output format: nagios, json, prometheus or text")
	return cmd
}

func (c *hostCommand) run(ctx context.Context) (err error) {
	if formats := monitoring.Formats(); !slices.Contains(formats, c.format) {
		return usageError{fmt.Errorf("--format %q is not one of %v", c.format, formats)}
	}
	if c.cfg, err = appliance.Load(c.configPath()); err != nil {
		c.result.AddStatus(itemLook, err.Error(), monitoring.Unknown)
		return c.writeResult(&c.result, c.format, "muster host")
	}
	c.askAppliance(ctx)
	for _, check := range c.checks() {
		status, text, err := check.run()
		if err != nil {
			status, text = monitoring.Unknown, err.Error()
		}
		c.result.AddStatus(check.name, check.name+": "+text, status)
	}
	return c.writeResult(&c.result, c.format, "muster host")
}

// askAppliance finds out whether the appliance of the configuration is running. If it is, the limit
// of its descriptors is checked instead of this process's own.
func (c *hostCommand) askAppliance(ctx context.Context) {
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
