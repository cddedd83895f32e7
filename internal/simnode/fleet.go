package simnode

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Subject is where nodes publish their registrations when nothing else is configured.
const Subject = "mcollective.broadcast.agent.registration"

// flushWait is how long a node that stops may take to know that all was read.
const flushWait = 10 * time.Second

// Fleet is simulated nodes, each with a connection of its own.
type Fleet struct {
	url      string
	roots    *x509.CertPool // nil: no TLS
	nodes    []*Node
	interval time.Duration
	conns    []*nats.Conn

	sent   atomic.Uint64
	failed atomic.Uint64
	wg     sync.WaitGroup
}

// NewFleet makes so many nodes that will register at the broker every interval. They
// connect over TLS where they are of a site.
func NewFleet(url string, nodes int, kind Kind, interval time.Duration) (*Fleet, error) {
	f := &Fleet{url: url, interval: interval}
	if kind.Site != nil {
		f.roots = kind.Site.Roots()
	}
	for i := range nodes {
		n, err := NewNode(i, kind)
		if err != nil {
			return nil, fmt.Errorf("make node %d: %w", i, err)
		}
		f.nodes = append(f.nodes, n)
	}
	return f, nil
}

// Connect connects all nodes; progress is called after each.
func (f *Fleet) Connect(ctx context.Context, progress func()) error {
	for _, n := range f.nodes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		nc, err := nats.Connect(f.url, append(n.Options(n.Identity, f.roots), nats.MaxReconnects(-1))...)
		if err != nil {
			return fmt.Errorf("connect %s: %w", n.Identity, err)
		}
		f.conns = append(f.conns, nc)
		progress()
	}
	return nil
}

// Register lets every node register, first after a part of the interval and then every
// interval, until the context is done; then it waits until the broker has read everything.
func (f *Fleet) Register(ctx context.Context) error {
	errs := make([]error, len(f.nodes))
	for i := range f.nodes {
		f.wg.Go(func() { errs[i] = f.run(ctx, f.nodes[i], f.conns[i]) })
	}
	f.wg.Wait()
	return errors.Join(errs...)
}

func (f *Fleet) run(ctx context.Context, n *Node, nc *nats.Conn) error {
	timer := time.NewTimer(rand.N(f.interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := nc.FlushTimeout(flushWait); err != nil {
				return fmt.Errorf("flush %s: %w", n.Identity, err)
			}
			return nil
		case <-timer.C:
			timer.Reset(f.interval)
			if err := f.register(n, nc); err != nil {
				return err
			}
		}
	}
}

func (f *Fleet) register(n *Node, nc *nats.Conn) error {
	_, raw, err := n.Registration(time.Now())
	if err != nil {
		return fmt.Errorf("build a registration of %s: %w", n.Identity, err)
	}
	if nc.Publish(Subject, raw) != nil { // a real node loses it too, and says nothing
		f.failed.Add(1)
		return nil
	}
	f.sent.Add(1)
	return nil
}

// Sent is how many registrations the nodes have published.
func (f *Fleet) Sent() uint64 { return f.sent.Load() }

// Failed is how many they could not, for want of a connection.
func (f *Fleet) Failed() uint64 { return f.failed.Load() }

// Close disconnects all nodes.
func (f *Fleet) Close() {
	for _, nc := range f.conns {
		nc.Close()
	}
}
