// Package fleet is the view of every node: who registers, who is connected, and what
// follows from that. It is kept in memory and rebuilt from streams; it stores nothing but
// the events of what has changed, and decides nothing about who may connect.
//
// Three feeds fill it: the stream of registrations, what the broker tells of its
// connections, and what nodes say of themselves when they stop. A clock lets time pass.
// Everything goes through the book, which is values in and events out.
package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// tickInterval is how often time is let pass: a limit is noticed so much later at most.
const tickInterval = 500 * time.Millisecond

// Options is what the fleet is given by the appliance around it.
type Options struct {
	Site          string
	StoreEvents   bool // events are stored: their stream is declared
	Now           func() time.Time
	Connect       func(name string, options ...nats.Option) (*nats.Conn, error) // into the account of nodes
	ConnectSystem func(name string, options ...nats.Option) (*nats.Conn, error) // into the system account
	Log           hclog.Logger
}

// Fleet is the view, and what keeps it up to date.
type Fleet struct {
	cfg   Config
	o     Options
	index *index

	conn   *nats.Conn
	system *nats.Conn
	js     jetstream.JetStream
	outbox *outbox // nil: events are not stored
	unread unread

	mu   sync.Mutex
	book *book

	living context.Context // until it closes
	end    context.CancelFunc
	close  sync.Once
	wg     sync.WaitGroup
}

// New makes a fleet that watches nobody yet.
func New(cfg Config, o Options) *Fleet {
	f := &Fleet{cfg: cfg, o: o, index: newIndex(cfg.Index)}
	f.living, f.end = context.WithCancel(context.Background())
	return f
}

// Open rebuilds the view from the streams, and watches from then on. It must return before
// nodes may connect.
func (f *Fleet) Open(ctx context.Context) error {
	steps := []func(context.Context) error{f.connect, f.restore, f.follow, f.listen}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return errors.Join(err, f.Close(ctx))
		}
	}
	f.wg.Go(f.run)
	return nil
}

func (f *Fleet) connect(context.Context) (err error) {
	if f.conn, err = f.o.Connect("fleet"); err != nil {
		return err
	}
	if f.system, err = f.o.ConnectSystem("fleet"); err != nil {
		return err
	}
	if f.js, err = jetstream.New(f.conn, jetstream.WithPublishAsyncMaxPending(2*maxUnacked), jetstream.WithPublishAsyncTimeout(answerWait)); err != nil {
		return err
	}
	tell := func(*Event) {}
	if f.o.StoreEvents {
		f.outbox = newOutbox(f.js, f.advisory(), f.o.Log)
		f.wg.Go(f.outbox.run)
		tell = f.outbox.put
	}
	f.book = newBook(f.cfg.Rules(f.o.Now()), f.cfg.StormShare, tell)
	return nil
}

// run lets time pass.
func (f *Fleet) run() {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case <-f.living.Done():
			return
		case <-ticker.C:
			f.with(func(b *book, now time.Time) { b.tick(now) })
		}
	}
}

// with has the book to itself.
func (f *Fleet) with(do func(b *book, now time.Time)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do(f.book, f.o.Now())
}

// Reload puts other times and another share in force. Reloaded lists their keys.
func (f *Fleet) Reload(cfg Config) {
	f.with(func(b *book, now time.Time) { b.rule(cfg.Rules(b.rules.Started), cfg.StormShare, now) })
}

// Reloaded tells whether a key of [fleet] is applied by Reload.
func Reloaded(key string) bool {
	switch key {
	case "late_after", "down_after", "forget_after", "disconnect_grace", "storm_share":
		return true
	default:
		return false
	}
}

// IgnoreDisconnects stops listening to the broker: that nodes are disconnected when the appliance stops
// says nothing about them.
func (f *Fleet) IgnoreDisconnects() {
	if f.system != nil {
		f.system.Close()
	}
}

// Close stores the events that are not stored yet, as long as the context lets it, and
// stops. It may be called twice, and after an Open that failed.
func (f *Fleet) Close(ctx context.Context) error {
	f.close.Do(func() {
		f.IgnoreDisconnects()
		f.end()
		if f.outbox != nil {
			f.outbox.stop(ctx)
		}
		f.wg.Wait()
		if f.conn != nil {
			f.conn.Close()
		}
	})
	return nil
}
