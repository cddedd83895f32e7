package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/internal/bench"
	"github.com/spf13/cobra"
)

// nodesOfAProcess is how many nodes one process holds: each takes a descriptor.
const nodesOfAProcess = 5000

// idle is the bench idle command and the processes under it.
type idle struct {
	benchmark
	nodes  int
	first  int
	silent time.Duration
	bare   bool
}

func (p *program) idleCommand() *cobra.Command {
	i := &idle{benchmark: benchmark{program: p, verify: "auto", watch: true, buffer: "64MiB"}}
	cmd := &cobra.Command{
		Use:   "idle",
		Short: "Find out what connected nodes cost that say nothing",
		Long: `Start an appliance, connect nodes to it from other processes, subscribed as Choria
servers are, and measure its memory and processor time while they are silent.`,
		Example: `  muster bench idle --nodes 10000 --tls --bare
  muster bench idle --nodes 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return i.run(cmd.Context()) },
	}
	cmd.Flags().IntVar(&i.nodes, "nodes", 1000, "nodes")
	cmd.Flags().BoolVar(&i.load.TLS, "tls", false, "connect over TLS, half of the nodes with certificates and half with tokens")
	cmd.Flags().DurationVar(&i.silent, "for", 15*time.Second, "how long they are watched, after as long to settle")
	cmd.Flags().DurationVar(&i.pings, "ping-interval", 30*time.Second, "broker.ping_interval of the appliance that is started")
	cmd.Flags().BoolVar(&i.bare, "bare", false, "measure a NATS server that lets everybody do everything too")
	cmd.Flags().BoolVar(&i.asJSON, "json", false, "print JSON")
	cmd.AddCommand(i.holdCommand(), i.serveCommand())
	return cmd
}

// holdCommand is what the processes run that hold the nodes.
func (i *idle) holdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Connect silent nodes and keep them until told to stop",
		Example: `  muster bench idle hold --server 127.0.0.1:4222 --nodes 100
  muster bench idle hold --server 127.0.0.1:4222 --nodes 100 --first 100`,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.Hold(cmd.Context(), i.load, i.first, i.nodes, i.out)
		},
	}
	i.serverFlags(cmd)
	cmd.Flags().IntVar(&i.nodes, "nodes", 1000, "nodes")
	cmd.Flags().IntVar(&i.first, "first", 0, "index of the first")
	return cmd
}

// serveCommand is what the process runs that is NATS alone.
func (i *idle) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a NATS server that lets everybody do everything until told to stop",
		Example: `  muster bench idle serve --server 127.0.0.1:4222
  muster bench idle serve --server 127.0.0.1:4222 --ping-interval 2m`,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.ServeBare(cmd.Context(), i.load, i.pings, i.out)
		},
	}
	i.serverFlags(cmd)
	cmd.Flags().DurationVar(&i.pings, "ping-interval", 30*time.Second, "time between pings")
	return cmd
}

func (i *idle) serverFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&i.load.Server, "server", "", "NATS address of the server")
	cmd.Flags().StringVar(&i.load.Site, "site", "", "directory that \"muster init\" has written")
	cmd.Flags().BoolVar(&i.load.TLS, "tls", false, "connect over TLS")
}

func (i *idle) run(ctx context.Context) error {
	if i.nodes < 1 || i.nodes > 60_000 {
		return usageError{fmt.Errorf("--nodes %d: want 1 to 60000", i.nodes)}
	}
	done, err := i.openSite()
	if err != nil {
		return err
	}
	defer done()
	result, err := i.measureAppliance(ctx)
	if err == nil && i.bare {
		result.Bare, err = i.measureBare(ctx)
	}
	if err != nil {
		return err
	}
	if i.asJSON {
		return i.printJSON(result)
	}
	rows := [][]string{{"nodes", count(uint64(result.Nodes))}}
	rows = append(rows, idleRows("", result)...)
	if result.Bare != nil {
		rows = append(rows, idleRows("NATS alone: ", *result.Bare)...)
	}
	return i.printTable([]string{"IDLE", ""}, rows)
}

func idleRows(whose string, r bench.Idle) [][]string {
	return [][]string{
		{whose + "memory", fmt.Sprintf("%s, %s before", humanize.IBytes(uint64(r.Memory)), humanize.IBytes(uint64(r.MemoryBefore)))},
		{whose + "a node", fmt.Sprintf("%s of memory, %.0f µs to connect", humanize.IBytes(uint64(r.MemoryPerNode)), r.ConnectCPU)},
		{whose + "processor", fmt.Sprintf("%.1f %% of one core", r.CPU*100)},
	}
}

func (i *idle) measureAppliance(ctx context.Context) (bench.Idle, error) {
	server, err := i.startServer(ctx)
	if err != nil {
		return bench.Idle{}, err
	}
	defer server.stop()
	return i.watch(ctx, server.target)
}

// measureBare has the same nodes on a server that is NATS alone.
func (i *idle) measureBare(ctx context.Context) (*bench.Idle, error) {
	ctx, cancel := context.WithCancel(ctx)
	address := freePort("127.0.0.1:4222")
	server, err := i.startSelf(ctx, "serve", "--server", address, "--site", i.load.Site,
		"--tls="+strconv.FormatBool(i.load.TLS), "--ping-interval", i.pings.String())
	if err != nil {
		cancel()
		return nil, err
	}
	defer func() {
		cancel()
		_ = server.Wait() // it was told to end
	}()
	result, err := i.watch(ctx, bench.Target{Server: "nats://" + address, PID: server.Process.Pid})
	return &result, err
}

// watch measures the server while other processes hold the nodes.
func (i *idle) watch(ctx context.Context, target bench.Target) (bench.Idle, error) {
	ctx, cancel := context.WithCancel(ctx)
	var holders []*exec.Cmd
	defer func() {
		cancel()
		for _, holder := range holders {
			_ = holder.Wait() // it was told to end
		}
	}()
	connect := func(ctx context.Context) error {
		for first := 0; first < i.nodes; first += nodesOfAProcess {
			nodes := min(nodesOfAProcess, i.nodes-first)
			holder, err := i.startSelf(ctx, "hold", "--server", target.Server, "--site", i.load.Site,
				"--tls="+strconv.FormatBool(i.load.TLS), "--nodes", strconv.Itoa(nodes), "--first", strconv.Itoa(first))
			if err != nil {
				return err
			}
			holders = append(holders, holder)
		}
		return nil
	}
	return bench.Watch(ctx, target, i.nodes, connect, i.silent)
}

// startSelf starts a process of the benchmark, and waits until it says that it is ready.
func (i *idle) startSelf(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"bench", "idle"}, args...)...)
	cmd.Stderr = i.err
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) == "" {
		return nil, errors.Join(fmt.Errorf("%s did not become ready", args[0]), cmd.Wait())
	}
	return cmd, nil
}
