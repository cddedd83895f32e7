// Package bench puts load on an appliance and finds out what became of it. The load is
// made by a process of its own, which publishes and never waits; what was published is
// compared with what the stream has, message by message. It starts and stops no process.
package bench

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
)

const (
	// rsaBits is what Choria's own certificates have.
	rsaBits = 2048
	// prebuilt is how many bytes of messages are made before the first is sent.
	prebuilt = 2 << 30
	// flushWait is how long the broker may take to read what was sent.
	flushWait = 10 * time.Minute
)

// Load is what a generator publishes.
type Load struct {
	Server      string // of NATS
	Connections int
	Senders     int
	Messages    int
	Protocol    int    // 1, 2, or 0 for both
	Site        string // directory that "muster init" has written; with one, every message is signed, as its sender
	TLS         bool   // connect over TLS, with a certificate in protocol 1 and a token in 2
	Direct      bool   // straight into the stream, each message acknowledged: what there is without an adapter
	Size        int64  // bytes of a message, about; 0: realistic facts
	Rate        int    // messages a second, all together; 0: as fast as they go
}

// sent is one message that was published.
type sent struct {
	Key  string // sender/request id
	Size int
	At   time.Time
}

// connection carries some of the senders, each of them alone.
type connection struct {
	nc    *nats.Conn
	nodes []*simnode.Node
	ready []message
	sent  []sent
}

type message struct {
	key  string
	node string
	raw  []byte
}

// Generate publishes the load and writes what it published to w, a line each: the key, the
// bytes, and when in nanoseconds. A message that could not be published is not among them.
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

// connect makes nodes and connections, and as many messages beforehand as memory allows.
func (load Load) connect() ([]*connection, error) {
	kind, err := load.kind()
	if err != nil {
		return nil, err
	}
	connections := make([]*connection, load.Connections)
	for i := range connections {
		connections[i] = &connection{}
	}
	for s := range load.Senders {
		n, err := simnode.NewNode(s, kind)
		if err != nil {
			return nil, err
		}
		c := connections[s%load.Connections]
		c.nodes = append(c.nodes, n)
	}
	errs := make([]error, len(connections))
	var wg sync.WaitGroup
	for i, c := range connections {
		wg.Go(func() { errs[i] = c.prepare(load, kind, i) })
	}
	wg.Wait()
	return connections, errors.Join(errs...)
}

// kind is how the senders register.
func (load Load) kind() (simnode.Kind, error) {
	kind := simnode.Kind{Protocol: choria.Protocol(load.Protocol), Size: load.Size}
	if load.Site == "" {
		return kind, nil
	}
	var err error
	if kind.Site, err = enroll.Open(load.Site); err != nil {
		return kind, err
	}
	kind.RSA, err = rsa.GenerateKey(rand.Reader, rsaBits)
	return kind, err
}

func (c *connection) prepare(load Load, kind simnode.Kind, index int) error {
	options := []nats.Option{nats.Name(fmt.Sprintf("muster bench %d", index))}
	if kind.Site != nil && (load.TLS || !load.Direct) {
		var err error
		if options, err = load.proof(c.nodes[0], kind); err != nil {
			return err
		}
	}
	var err error
	if c.nc, err = nats.Connect(load.Server, options...); err != nil {
		return fmt.Errorf("connect to %s: %w", load.Server, err)
	}
	var bytes int
	for n := range c.share(load) {
		if bytes > prebuilt/load.Connections {
			return nil
		}
		m, err := c.build(n)
		if err != nil {
			return err
		}
		c.ready = append(c.ready, m)
		bytes += len(m.raw)
	}
	return nil
}

// proof is how a connection is that of one of its senders, who may publish for all. Without
// TLS only a token proves anything; straight into the stream only a certificate gets, which
// the configuration makes an administrator's.
func (load Load) proof(n *simnode.Node, kind simnode.Kind) ([]nats.Option, error) {
	protocol := n.Protocol
	var roots *x509.CertPool
	if load.TLS {
		roots = kind.Site.Roots()
	} else {
		protocol = choria.V2
	}
	if load.Direct {
		protocol = choria.V1
	}
	shown, err := kind.NewCredentials(n.Identity, protocol)
	return shown.Options(n.Identity, roots), err
}

// share is how many of the messages this connection sends.
func (c *connection) share(load Load) int {
	return load.Messages * len(c.nodes) / load.Senders
}

// build makes the connection's n-th message; its senders take turns.
func (c *connection) build(n int) (message, error) {
	node := c.nodes[n%len(c.nodes)]
	id, raw, err := node.Registration(time.Now())
	return message{node.Identity + "/" + id, node.Identity, raw}, err
}

func (c *connection) publish(load Load, start time.Time) error {
	share := c.share(load)
	c.sent = make([]sent, 0, share)
	publish, finish, err := c.way(load)
	if err != nil {
		return err
	}
	for n := range share {
		if load.Rate > 0 {
			due := start.Add(time.Duration(n) * time.Second * time.Duration(load.Connections) / time.Duration(load.Rate))
			time.Sleep(time.Until(due))
		}
		m, err := c.next(n)
		if err != nil {
			return err
		}
		at := time.Now()
		if err := publish(m); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		c.sent = append(c.sent, sent{m.key, len(m.raw), at})
	}
	return finish()
}

func (c *connection) next(n int) (message, error) {
	if n >= len(c.ready) {
		return c.build(n)
	}
	m := c.ready[n]
	c.ready[n] = message{}
	return m, nil
}
