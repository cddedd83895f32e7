package bench

import (
	"context"
	"fmt"
	"io"

	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
)

// defaultAgents are the agents of every Choria server. Each subscribes to its requests.
var defaultAgents = []string{"discovery", "rpcutil", "choria_util", "scout"}

// KeepConnected connects idle nodes, subscribed as Choria servers are, writes a line to w once all are
// connected, and keeps them until the context is done. The first node has the index first.
func KeepConnected(ctx context.Context, load Load, first, nodes int, w io.Writer) error {
	o, err := load.nodeOptions()
	if err != nil {
		return err
	}
	for i := first; i < first+nodes; i++ {
		n, err := simnode.NewNode(i, o)
		if err != nil {
			return err
		}
		nc, err := load.connectNode(n, o)
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

func (load Load) connectNode(n *simnode.Node, o simnode.NodeOptions) (*nats.Conn, error) {
	var options []nats.Option
	if o.Site != nil {
		var err error
		if options, err = load.credentials(n, o); err != nil {
			return nil, err
		}
	}
	// By default a subscription has room for 65 536 messages. Thousands of nodes would then
	// keep this process collecting garbage, on the processors that are measured.
	options = append(options, nats.Name(n.Identity), nats.Timeout(flushTimeout), nats.SyncQueueLen(1))
	nc, err := nats.Connect(load.Server, options...)
	if err != nil {
		return nil, err
	}
	subjects := []string{simnode.Collective + ".node." + n.Identity}
	for _, agent := range defaultAgents {
		subjects = append(subjects, simnode.Collective+".broadcast.agent."+agent)
	}
	for _, subject := range subjects {
		if _, err := nc.SubscribeSync(subject); err != nil {
			return nil, err
		}
	}
	return nc, nc.FlushTimeout(flushTimeout)
}
