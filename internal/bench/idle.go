package bench

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
)

// agents are those that every Choria server has, and subscribes to requests for.
var agents = []string{"discovery", "rpcutil", "choria_util", "scout"}

// Hold connects silent nodes, subscribed as Choria servers are, says so on w, and keeps them
// until the context is done. The first has the index given.
func Hold(ctx context.Context, load Load, first, nodes int, w io.Writer) error {
	kind, err := load.kind()
	if err != nil {
		return err
	}
	for i := first; i < first+nodes; i++ {
		n, err := simnode.NewNode(i, kind)
		if err != nil {
			return err
		}
		nc, err := load.hold(n, kind)
		if err != nil {
			return fmt.Errorf("connect %s: %w", n.Identity, err)
		}
		defer nc.Close()
	}
	if _, err := fmt.Fprintln(w, ready); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (load Load) hold(n *simnode.Node, kind simnode.Kind) (*nats.Conn, error) {
	var options []nats.Option
	if kind.Site != nil {
		var err error
		if options, err = load.proof(n, kind); err != nil {
			return nil, err
		}
	}
	// By itself a subscription has room for 65 536 messages, and thousands of nodes would
	// keep this process collecting garbage, on the processor that is measured.
	options = append(options, nats.Name(n.Identity), nats.Timeout(flushWait), nats.SyncQueueLen(1))
	nc, err := nats.Connect(load.Server, options...)
	if err != nil {
		return nil, err
	}
	subjects := []string{simnode.Collective + ".node." + n.Identity}
	for _, agent := range agents {
		subjects = append(subjects, simnode.Collective+".broadcast.agent."+agent)
	}
	for _, subject := range subjects {
		if _, err := nc.SubscribeSync(subject); err != nil {
			return nil, err
		}
	}
	return nc, nc.FlushTimeout(flushWait)
}

// Idle is what connected nodes cost that say nothing.
type Idle struct {
	Nodes         int     `json:"nodes"`
	MemoryBefore  int64   `json:"memory_before_bytes"` // resident
	Memory        int64   `json:"memory_bytes"`
	MemoryPerNode int64   `json:"memory_per_node_bytes"`
	ConnectCPU    float64 `json:"connect_cpu_us_per_node"`
	CPU           float64 `json:"cpu_of_one_core"` // while they are silent

	Bare *Idle `json:"bare,omitempty"` // the same nodes on a server that is NATS alone
}

// Watch measures the target before and after the nodes connect, and then while they are
// silent for so long.
func Watch(ctx context.Context, t Target, nodes int, connect func(context.Context) error, silent time.Duration) (Idle, error) {
	i := Idle{Nodes: nodes}
	var err error
	if i.MemoryBefore, err = residentMemory(t.PID); err != nil {
		return i, err
	}
	start, err := processorTime(t.PID)
	if err != nil {
		return i, err
	}
	if err := connect(ctx); err != nil {
		return i, err
	}
	connected, err := processorTime(t.PID)
	if err != nil {
		return i, err
	}
	i.ConnectCPU = float64((connected - start).Microseconds()) / float64(nodes)
	// What handshakes have left is given back in the meantime.
	for _, wait := range []time.Duration{silent, silent} {
		if connected, err = processorTime(t.PID); err != nil {
			return i, err
		}
		select {
		case <-ctx.Done():
			return i, ctx.Err()
		case <-time.After(wait):
		}
	}
	end, err := processorTime(t.PID)
	if err != nil {
		return i, err
	}
	i.CPU = (end - connected).Seconds() / silent.Seconds()
	i.Memory, err = residentMemory(t.PID)
	i.MemoryPerNode = (i.Memory - i.MemoryBefore) / int64(nodes)
	return i, err
}
