package bench

import (
	"context"
	"os/exec"
	"strconv"
	"time"

	"github.com/muster-appliance/muster/internal/host"
)

// maxNodes is how many nodes one process keeps connected: each takes a file descriptor.
const maxNodes = 5000

// IdleBenchmark measures what connected nodes cost an appliance while they publish nothing.
type IdleBenchmark struct {
	Subprocess   Subprocess
	Nodes        int
	TLS          bool          // half of the nodes with certificates, half with tokens
	Idle         time.Duration // how long to wait after connecting, and then how long to measure
	PingInterval time.Duration // broker.ping_interval
	PlainNATS    bool          // measure a plain NATS server too
	WebSocket    bool          // nodes connect to the appliance over WebSocket
}

// IdleResult is what idle nodes cost.
type IdleResult struct {
	Nodes         int     `json:"nodes"`
	MemoryBefore  int64   `json:"memory_before_bytes"` // resident memory before the nodes connected
	Memory        int64   `json:"memory_bytes"`        // resident memory while they are idle
	MemoryPerNode int64   `json:"memory_per_node_bytes"`
	ConnectCPU    float64 `json:"connect_cpu_us_per_node"`
	CPU           float64 `json:"cpu_of_one_core"` // 1: all of one core, while the nodes are idle

	PlainNATS *IdleResult `json:"bare,omitempty"` // the same nodes on a plain NATS server
}

// Run starts the servers and the nodes as other processes, one server after the other.
func (b IdleBenchmark) Run(ctx context.Context) (IdleResult, error) {
	load := Load{TLS: b.TLS}
	remove, err := makeSite(&load, false)
	if err != nil {
		return IdleResult{}, err
	}
	defer func() { _ = remove() }() // a temporary directory
	result, err := b.measureAppliance(ctx, load)
	if err != nil || !b.PlainNATS {
		return result, err
	}
	plain, err := b.measurePlainNATS(ctx, load)
	result.PlainNATS = &plain
	return result, err
}

func (b IdleBenchmark) measureAppliance(ctx context.Context, load Load) (IdleResult, error) {
	s, err := startAppliance(ctx, b.Subprocess, load, ApplianceOptions{
		Buffer: "64MiB", Verify: "auto", Fleet: true, PingInterval: b.PingInterval, WebSocket: b.WebSocket,
	})
	if err != nil {
		return IdleResult{}, err
	}
	defer s.stop()
	load.Server = s.broker
	return b.measure(ctx, load, s.cmd.Process.Pid)
}

func (b IdleBenchmark) measurePlainNATS(ctx context.Context, load Load) (IdleResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	load.Server = "nats://" + host.FreeAddress("127.0.0.1:4222")
	server, err := b.Subprocess.start(ctx, "bench", "idle", "serve", "--server", load.Server, "--site", load.Site,
		"--tls="+strconv.FormatBool(load.TLS), "--ping-interval", b.PingInterval.String())
	if err != nil {
		cancel()
		return IdleResult{}, err
	}
	defer func() {
		cancel()
		_ = server.Wait() // it ended because it was asked to
	}()
	return b.measure(ctx, load, server.Process.Pid)
}

// measure measures a server before and after the nodes connect, and then while they are idle.
func (b IdleBenchmark) measure(ctx context.Context, load Load, pid int) (IdleResult, error) {
	r := IdleResult{Nodes: b.Nodes}
	var err error
	if r.MemoryBefore, _, err = memory(pid); err != nil {
		return r, err
	}
	start, err := cpuTime(pid)
	if err != nil {
		return r, err
	}
	stop, err := b.startKeepers(ctx, load)
	defer stop()
	if err != nil {
		return r, err
	}
	connected, err := cpuTime(pid)
	if err != nil {
		return r, err
	}
	r.ConnectCPU = float64((connected - start).Microseconds()) / float64(b.Nodes)
	// The first period is not measured: in it the server releases the memory that handshakes have used.
	for range 2 {
		if start, err = cpuTime(pid); err != nil {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(b.Idle):
		}
	}
	end, err := cpuTime(pid)
	if err != nil {
		return r, err
	}
	r.CPU = (end - start).Seconds() / b.Idle.Seconds()
	r.Memory, _, err = memory(pid)
	r.MemoryPerNode = (r.Memory - r.MemoryBefore) / int64(b.Nodes)
	return r, err
}

// startKeepers starts the processes that keep the nodes connected, and returns once all nodes are connected.
// The caller calls stop, also after an error.
func (b IdleBenchmark) startKeepers(ctx context.Context, load Load) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var keepers []*exec.Cmd
	stop = func() {
		cancel()
		for _, keeper := range keepers {
			_ = keeper.Wait() // it ended because it was asked to
		}
	}
	for first := 0; first < b.Nodes; first += maxNodes {
		keeper, err := b.Subprocess.start(ctx, "bench", "idle", "hold", "--server", load.Server, "--site", load.Site,
			"--tls="+strconv.FormatBool(load.TLS),
			"--nodes", strconv.Itoa(min(maxNodes, b.Nodes-first)), "--first", strconv.Itoa(first))
		if err != nil {
			return stop, err
		}
		keepers = append(keepers, keeper)
	}
	return stop, nil
}
