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

// Fleet is a number of simulated nodes, each with its own connection.
type Fleet struct {
	url      string
	roots    *x509.CertPool // nil: no TLS
	members  []*member
	interval time.Duration // between two registrations of a node

	sent   atomic.Uint64
	failed atomic.Uint64
	wg     sync.WaitGroup
}

// member is a node with its connection.
type member struct {
	*Node
	mu   sync.Mutex
	conn *nats.Conn // nil while Chaos keeps the node disconnected; guarded by mu
}

// NewFleet makes nodes that will register with the broker at the URL every interval. With
// kind.Site they connect over TLS.
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
		f.members = append(f.members, &member{Node: n})
	}
	return f, nil
}

// Connect connects all nodes, one after the other, and calls progress after each.
func (f *Fleet) Connect(ctx context.Context, progress func()) error {
	for _, m := range f.members {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f.connect(m); err != nil {
			return err
		}
		progress()
	}
	return nil
}

func (f *Fleet) connect(m *member) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	nc, err := nats.Connect(f.url, append(m.Options(m.Identity, f.roots), nats.MaxReconnects(-1))...)
	if err != nil {
		return fmt.Errorf("connect %s: %w", m.Identity, err)
	}
	m.conn = nc
	return nil
}

// Register registers every node, first after a random part of the interval and then every
// interval, until the context is done. Then it waits until the broker has read everything.
func (f *Fleet) Register(ctx context.Context) error {
	errs := make([]error, len(f.members))
	for i, m := range f.members {
		f.wg.Go(func() { errs[i] = f.registerNode(ctx, m) })
	}
	f.wg.Wait()
	return errors.Join(errs...)
}

func (f *Fleet) registerNode(ctx context.Context, m *member) error {
	timer := time.NewTimer(rand.N(f.interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.flush()
		case <-timer.C:
			timer.Reset(f.interval)
			if err := f.register(m); err != nil {
				return err
			}
		}
	}
}

func (f *Fleet) register(m *member) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == nil {
		return nil
	}
	_, raw, err := m.Registration(time.Now())
	if err != nil {
		return fmt.Errorf("build a registration of %s: %w", m.Identity, err)
	}
	if m.conn.Publish(Subject, raw) != nil { // a real node loses the message too
		f.failed.Add(1)
		return nil
	}
	f.sent.Add(1)
	return nil
}

// flush waits until the broker has read what the node published.
func (m *member) flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == nil {
		return nil
	}
	if err := m.conn.FlushTimeout(flushTimeout); err != nil {
		return fmt.Errorf("flush %s: %w", m.Identity, err)
	}
	return nil
}

// Sent returns how many registrations the nodes have published.
func (f *Fleet) Sent() uint64 { return f.sent.Load() }

// Failed returns how many registrations the nodes could not publish.
func (f *Fleet) Failed() uint64 { return f.failed.Load() }

// Close disconnects all nodes.
func (f *Fleet) Close() {
	for _, m := range f.members {
		m.mu.Lock()
		if m.conn != nil {
			m.conn.Close()
		}
		m.mu.Unlock()
	}
}
