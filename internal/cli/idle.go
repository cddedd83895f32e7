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
}

func (p *program) idleCommand() *cobra.Command {
	i := &idle{benchmark: benchmark{program: p, verify: "auto", watch: true, buffer: "64MiB"}}
	cmd := &cobra.Command{
		Use:   "idle",
		Short: "Find out what connected nodes cost that say nothing",
		Long: `Start an appliance, connect nodes to it from other processes, subscribed as Choria
servers are, and measure its memory and processor time while they are silent.`,
		Example: `  muster bench idle --nodes 10000 --tls
  muster bench idle --nodes 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return i.run(cmd.Context()) },
	}
	cmd.Flags().IntVar(&i.nodes, "nodes", 1000, "nodes")
	cmd.Flags().BoolVar(&i.load.TLS, "tls", false, "connect over TLS, half of the nodes with certificates and half with tokens")
	cmd.Flags().DurationVar(&i.silent, "for", 15*time.Second, "how long they are watched, after as long to settle")
	cmd.Flags().BoolVar(&i.asJSON, "json", false, "print JSON")
	cmd.AddCommand(i.holdCommand())
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
	cmd.Flags().StringVar(&i.load.Server, "server", "", "NATS address of the appliance")
	cmd.Flags().StringVar(&i.load.Site, "site", "", "directory that \"muster init\" has written")
	cmd.Flags().BoolVar(&i.load.TLS, "tls", false, "connect over TLS")
	cmd.Flags().IntVar(&i.nodes, "nodes", 1000, "nodes")
	cmd.Flags().IntVar(&i.first, "first", 0, "index of the first")
	return cmd
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
	server, err := i.startServer(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	result, err := i.watch(ctx, server.target)
	if err != nil {
		return err
	}
	if i.asJSON {
		return i.printJSON(result)
	}
	return i.printTable([]string{"IDLE", ""}, [][]string{
		{"nodes", count(uint64(result.Nodes))},
		{"memory", fmt.Sprintf("%s, %s before", humanize.IBytes(uint64(result.Memory)), humanize.IBytes(uint64(result.MemoryBefore)))},
		{"a node", fmt.Sprintf("%s of memory, %.0f µs to connect", humanize.IBytes(uint64(result.MemoryPerNode)), result.ConnectCPU)},
		{"processor", fmt.Sprintf("%.1f %% of one core", result.CPU*100)},
	})
}

// watch measures the appliance while other processes hold the nodes.
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
			holder, err := i.hold(ctx, target.Server, first, min(nodesOfAProcess, i.nodes-first))
			if err != nil {
				return err
			}
			holders = append(holders, holder)
		}
		return nil
	}
	return bench.Watch(ctx, target, i.nodes, connect, i.silent)
}

// hold starts a process that holds nodes, and waits until they are connected.
func (i *idle) hold(ctx context.Context, server string, first, nodes int) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "bench", "idle", "hold", "--server", server, "--site", i.load.Site,
		"--tls="+strconv.FormatBool(i.load.TLS), "--nodes", strconv.Itoa(nodes), "--first", strconv.Itoa(first))
	cmd.Stderr = i.err
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) == "" {
		return nil, errors.Join(errors.New("the nodes did not connect"), cmd.Wait())
	}
	return cmd, nil
}
