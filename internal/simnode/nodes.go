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

// Subject is the subject on which Choria nodes publish registrations by default.
const Subject = "mcollective.broadcast.agent.registration"

// flushTimeout is how long the broker may take to read what a node has published.
const flushTimeout = 10 * time.Second

// Nodes is a number of simulated nodes, each with its own connection.
type Nodes struct {
	url      string
	roots    *x509.CertPool // nil: no TLS
	nodes    []*connectedNode
	interval time.Duration // between two registrations of a node

	sent   atomic.Uint64
	failed atomic.Uint64
	wg     sync.WaitGroup
}

// connectedNode is a node with its connection.
type connectedNode struct {
	*Node
	mu   sync.Mutex
	conn *nats.Conn // nil while DisconnectAtRandom keeps the node disconnected; guarded by mu
}

// NewNodes makes nodes that will register with the broker at the URL every interval. With
// o.Site they connect over TLS.
func NewNodes(url string, nodes int, o NodeOptions, interval time.Duration) (*Nodes, error) {
	s := &Nodes{url: url, interval: interval}
	if o.Site != nil {
		s.roots = o.Site.Roots()
	}
	for i := range nodes {
		n, err := NewNode(o.First+i, o)
		if err != nil {
			return nil, fmt.Errorf("make node %d: %w", i, err)
		}
		s.nodes = append(s.nodes, &connectedNode{Node: n})
	}
	return s, nil
}

// Connect connects all nodes, one after the other, and calls progress after each.
func (s *Nodes) Connect(ctx context.Context, progress func()) error {
	for _, n := range s.nodes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.connect(n); err != nil {
			return err
		}
		progress()
	}
	return nil
}

func (s *Nodes) connect(n *connectedNode) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	nc, err := nats.Connect(s.url, append(n.Options(n.Identity, s.roots), nats.MaxReconnects(-1))...)
	if err != nil {
		return fmt.Errorf("connect %s: %w", n.Identity, err)
	}
	n.conn = nc
	return nil
}

// Register registers every node, first after a random part of the interval and then every
// interval, until the context is done. Then it waits until the broker has read everything.
func (s *Nodes) Register(ctx context.Context) error {
	errs := make([]error, len(s.nodes))
	for i, n := range s.nodes {
		s.wg.Go(func() { errs[i] = s.registerNode(ctx, n) })
	}
	s.wg.Wait()
	return errors.Join(errs...)
}

func (s *Nodes) registerNode(ctx context.Context, n *connectedNode) error {
	timer := time.NewTimer(rand.N(s.interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return n.flush()
		case <-timer.C:
			timer.Reset(s.interval)
			if err := s.register(n); err != nil {
				return err
			}
		}
	}
}

func (s *Nodes) register(n *connectedNode) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == nil {
		return nil
	}
	_, raw, err := n.Registration(time.Now())
	if err != nil {
		return fmt.Errorf("build a registration of %s: %w", n.Identity, err)
	}
	if n.conn.Publish(Subject, raw) != nil { // a real node loses the message too
		s.failed.Add(1)
		return nil
	}
	s.sent.Add(1)
	return nil
}

// flush waits until the broker has read what the node published.
func (n *connectedNode) flush() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == nil {
		return nil
	}
	if err := n.conn.FlushTimeout(flushTimeout); err != nil {
		return fmt.Errorf("flush %s: %w", n.Identity, err)
	}
	return nil
}

// Sent returns how many registrations the nodes have published.
func (s *Nodes) Sent() uint64 { return s.sent.Load() }

// Failed returns how many registrations the nodes could not publish.
func (s *Nodes) Failed() uint64 { return s.failed.Load() }

// Close disconnects all nodes.
func (s *Nodes) Close() {
	for _, n := range s.nodes {
		n.mu.Lock()
		if n.conn != nil {
			n.conn.Close()
		}
		n.mu.Unlock()
	}
}
