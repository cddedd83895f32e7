package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
)

const (
	// maxPrebuilt is how many bytes of messages are built before the first is published.
	maxPrebuilt = 2 << 30
	// flushTimeout is how long the broker may take to read what was published.
	flushTimeout = 10 * time.Minute
)

// sent is one published message.
type sent struct {
	Key  string // sender/request id
	Size int    // bytes
	At   time.Time
}

// connection publishes for some of the senders. No other connection publishes for them.
type connection struct {
	nc    *nats.Conn
	nodes []*simnode.Node
	built []message // before the first is published
	sent  []sent
}

// message is one that will be published.
type message struct {
	key  string // sender/request id
	node string
	raw  []byte
}

// Generate publishes the load and then writes one line for each published message to w: its
// key, its bytes, and its time in nanoseconds since 1970.
func Generate(load Load, w io.Writer) error {
	connections, err := load.connect()
	if err != nil {
		return err
	}
	start := time.Now()
	errs := make([]error, len(connections))
	var wg sync.WaitGroup
	for i, c := range connections {
		wg.Go(func() { errs[i] = c.publish(load, start) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, c := range connections {
		c.nc.Close()
		for _, s := range c.sent {
			fmt.Fprintf(out, "%s %d %d\n", s.Key, s.Size, s.At.UnixNano())
		}
	}
	return out.Flush()
}

// connect makes the nodes, opens the connections, and builds the first messages.
func (load Load) connect() ([]*connection, error) {
	o, err := load.nodeOptions()
	if err != nil {
		return nil, err
	}
	connections := make([]*connection, load.Connections)
	for i := range connections {
		connections[i] = &connection{}
	}
	for s := range load.Senders {
		n, err := simnode.NewNode(s, o)
		if err != nil {
			return nil, err
		}
		c := connections[s%load.Connections]
		c.nodes = append(c.nodes, n)
	}
	errs := make([]error, len(connections))
	var wg sync.WaitGroup
	for i, c := range connections {
		wg.Go(func() { errs[i] = c.prepare(load, o, i) })
	}
	wg.Wait()
	return connections, errors.Join(errs...)
}

func (c *connection) prepare(load Load, o simnode.NodeOptions, index int) error {
	options := []nats.Option{nats.Name(fmt.Sprintf("muster bench %d", index))}
	if o.Site != nil && (load.TLS || !load.Direct) {
		var err error
		if options, err = load.credentials(c.nodes[0], o); err != nil {
			return err
		}
	}
	var err error
	if c.nc, err = nats.Connect(load.Server, options...); err != nil {
		return fmt.Errorf("connect to %s: %w", load.Server, err)
	}
	var bytes int
	for n := range c.share(load) {
		if bytes > maxPrebuilt/load.Connections {
			return nil
		}
		m, err := c.build(n)
		if err != nil {
			return err
		}
		c.built = append(c.built, m)
		bytes += len(m.raw)
	}
	return nil
}

// share returns how many of the messages this connection publishes.
func (c *connection) share(load Load) int {
	return load.Messages * len(c.nodes) / load.Senders
}

// build builds the connection's n-th message; its senders take turns.
func (c *connection) build(n int) (message, error) {
	node := c.nodes[n%len(c.nodes)]
	id, raw, err := node.Registration(time.Now())
	return message{node.Identity + "/" + id, node.Identity, raw}, err
}

func (c *connection) publish(load Load, start time.Time) error {
	share := c.share(load)
	c.sent = make([]sent, 0, share)
	p, err := newPublisher(c.nc, load.Direct)
	if err != nil {
		return err
	}
	for n := range share {
		if load.Rate > 0 {
			due := time.Duration(n) * time.Second * time.Duration(load.Connections) / time.Duration(load.Rate)
			time.Sleep(time.Until(start.Add(due)))
		}
		m, err := c.next(n)
		if err != nil {
			return err
		}
		at := time.Now()
		if err := p.publish(m); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		c.sent = append(c.sent, sent{m.key, len(m.raw), at})
	}
	return p.finish()
}

// next returns the n-th message, and forgets it so that its memory can be reused.
func (c *connection) next(n int) (message, error) {
	if n >= len(c.built) {
		return c.build(n)
	}
	m := c.built[n]
	c.built[n] = message{}
	return m, nil
}
