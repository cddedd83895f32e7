package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/internal/bench"
	"github.com/spf13/cobra"
)

// idleCommand is the command "bench idle".
type idleCommand struct {
	*program
	bench.IdleBenchmark
	asJSON bool
}

func (p *program) idleCommand() *cobra.Command {
	i := &idleCommand{program: p, IdleBenchmark: bench.IdleBenchmark{Subprocess: bench.Subprocess{Stderr: p.err}}}
	cmd := &cobra.Command{
		Use:   "idle",
		Short: "Measure what idle nodes cost",
		Long: `Start an appliance, connect nodes to it from other processes, subscribed as Choria
servers are, and measure its memory and processor time while they publish nothing.`,
		Example: `  muster bench idle --nodes 10000 --tls --bare
  muster bench idle --nodes 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return i.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.IntVar(&i.Nodes, "nodes", 1000, "number of nodes")
	flags.BoolVar(&i.TLS, "tls", false, "connect over TLS, half of the nodes with certificates and half with tokens")
	flags.DurationVar(&i.Idle, "for", 15*time.Second, "how long to wait after connecting, and then how long to measure")
	flags.DurationVar(&i.PingInterval, "ping-interval", 30*time.Second, "broker.ping_interval of the started appliance")
	flags.BoolVar(&i.WebSocket, "websocket", false, "connect the nodes to the appliance over WebSocket")
	flags.BoolVar(&i.PlainNATS, "bare", false, "measure a plain NATS server with the same nodes too")
	flags.BoolVar(&i.asJSON, "json", false, "print JSON")
	cmd.AddCommand(p.holdCommand(), p.serveCommand())
	return cmd
}

// holdCommand returns the command of the processes that keep the nodes connected. The package bench
// starts them; see IdleBenchmark.
func (p *program) holdCommand() *cobra.Command {
	var load bench.Load
	var nodes, first int
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Connect idle nodes and keep them until SIGTERM",
		Example: `  muster bench idle hold --server 127.0.0.1:4222 --nodes 100
  muster bench idle hold --server 127.0.0.1:4222 --nodes 100 --first 100`,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.KeepConnected(cmd.Context(), load, first, nodes, p.out)
		},
	}
	serverFlags(cmd, &load)
	cmd.Flags().IntVar(&nodes, "nodes", 1000, "number of nodes")
	cmd.Flags().IntVar(&first, "first", 0, "index of the first node")
	return cmd
}

// serveCommand returns the command of the process that is a plain NATS server.
func (p *program) serveCommand() *cobra.Command {
	var load bench.Load
	var pingInterval time.Duration
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a NATS server that allows every client everything, until SIGTERM",
		Example: `  muster bench idle serve --server 127.0.0.1:4222
  muster bench idle serve --server 127.0.0.1:4222 --ping-interval 2m`,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.ServePlainNATS(cmd.Context(), load, pingInterval, p.out)
		},
	}
	serverFlags(cmd, &load)
	cmd.Flags().DurationVar(&pingInterval, "ping-interval", 30*time.Second, "time between two pings of a connection")
	return cmd
}

func serverFlags(cmd *cobra.Command, load *bench.Load) {
	cmd.Flags().StringVar(&load.Server, "server", "", "NATS address of the server")
	cmd.Flags().StringVar(&load.Site, "site", "", "directory written by \"muster init\"")
	cmd.Flags().BoolVar(&load.TLS, "tls", false, "connect over TLS")
}

func (i *idleCommand) run(ctx context.Context) error {
	if i.Nodes < 1 || i.Nodes > 60_000 {
		return usageError{fmt.Errorf("--nodes %d: must be 1 to 60000", i.Nodes)}
	}
	result, err := i.IdleBenchmark.Run(ctx)
	if err != nil {
		return err
	}
	if i.asJSON {
		return i.printJSON(result)
	}
	rows := [][]string{{"nodes", count(uint64(result.Nodes))}}
	rows = append(rows, idleRows("", result)...)
	if result.PlainNATS != nil {
		rows = append(rows, idleRows("plain NATS: ", *result.PlainNATS)...)
	}
	return i.printTable([]string{"IDLE", ""}, rows)
}

func idleRows(prefix string, r bench.IdleResult) [][]string {
	return [][]string{
		{prefix + "memory", fmt.Sprintf("%s with the nodes, %s before they connected",
			humanize.IBytes(uint64(r.Memory)), humanize.IBytes(uint64(r.MemoryBefore)))},
		{prefix + "per node", fmt.Sprintf("%s of memory, %.0f µs to connect",
			humanize.IBytes(uint64(r.MemoryPerNode)), r.ConnectCPU)},
		{prefix + "processor", fmt.Sprintf("%.1f %% of one core", r.CPU*100)},
	}
}
