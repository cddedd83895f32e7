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
	members  []*member
	interval time.Duration

	sent   atomic.Uint64
	failed atomic.Uint64
	wg     sync.WaitGroup
}

// member is a node with its connection.
type member struct {
	*Node
	mu   sync.Mutex
	conn *nats.Conn // nil while it is away
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
		f.members = append(f.members, &member{Node: n})
	}
	return f, nil
}

// Connect connects all nodes; progress is called after each.
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

// Register lets every node register, first after a part of the interval and then every
// interval, until the context is done; then it waits until the broker has read everything.
func (f *Fleet) Register(ctx context.Context) error {
	errs := make([]error, len(f.members))
	for i, m := range f.members {
		f.wg.Go(func() { errs[i] = f.run(ctx, m) })
	}
	f.wg.Wait()
	return errors.Join(errs...)
}

func (f *Fleet) run(ctx context.Context, m *member) error {
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
	if m.conn.Publish(Subject, raw) != nil { // a real node loses it too, and says nothing
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
	if err := m.conn.FlushTimeout(flushWait); err != nil {
		return fmt.Errorf("flush %s: %w", m.Identity, err)
	}
	return nil
}

// Sent is how many registrations the nodes have published.
func (f *Fleet) Sent() uint64 { return f.sent.Load() }

// Failed is how many they could not, for want of a connection.
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
