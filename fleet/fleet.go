// Package fleet keeps the state of every node: when it last registered, whether it is
// connected, and what follows from that. The view is kept in memory and rebuilt from streams.
// The package stores only an event for each change, and does not decide which node may connect.
//
// Three sources feed the view: the stream of registrations, the connect and disconnect events
// of the broker, and the shutdown events of nodes. A ticker advances time. All of them call the
// registry, which takes values and emits events. A node that has not registered is in the view while it
// is connected.
package fleet

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// tickInterval is how often states are updated: a node becomes late or down at most
	// tickInterval after its limit.
	tickInterval = 500 * time.Millisecond
	// unreadableInterval is how often unreadable messages are logged at most.
	unreadableInterval = time.Minute
	// unreadInterval is how often it is logged at most that registrations are not read.
	unreadInterval = time.Minute
	// maxReaders is how many calls may read stored messages with a consumer at the same time;
	// others wait. The server has a limit of consumers for each stream.
	maxReaders = 8
)

// errClosed is returned when the fleet closes while a call waits.
var errClosed = errors.New("the fleet view is closed")

// Options is what the appliance passes to the fleet. All fields but SiteEdges and PublishPrefix are required.
type Options struct {
	Site          string
	Memory        int64 // bytes that the process may use; 0: not known
	StoreEvents   bool  // false: the stream of events is not declared, and no event is stored
	Now           func() time.Time
	Connect       func(name string, options ...nats.Option) (*nats.Conn, error) // to the account of the nodes
	ConnectSystem func(name string, options ...nats.Option) (*nats.Conn, error) // to the system account
	Log           hclog.Logger

	// Clock returns the time, without a monotonic reading, and the sum of all steps of the machine's
	// clock since the appliance started.
	Clock func() (now time.Time, stepped time.Duration)

	// Identities is whether the broker verifies the identity of each connection.
	Identities bool

	// ConflictAfter is Rules.Conflict.
	ConflictAfter time.Duration

	// KindOf returns as what the broker admitted a connection, by its id.
	KindOf func(connection uint64) Kind

	// LastRejected returns the last message that an adapter rejected of those that came over connections
	// of a name. It must not call the fleet.
	LastRejected func(name string) (r Rejection, ok bool)

	// DialShutdowns connects to receive the shutdown events of nodes, each with its Peer.
	DialShutdowns func(receiver inproc.Receiver) (*inproc.Conn, error)

	// Connections lists the connections to the broker that are open, and those that ended lately.
	Connections func() ([]Conn, error)
	// SiteEdges returns, for each site that may forward to this appliance, the name of its edge, as in
	// [broker.sites]. The fleet does not change the map. nil: no site may.
	SiteEdges func() map[string]string

	// PublishPrefix returns what must precede a subject when the fleet publishes to it; nil: nothing.
	PublishPrefix func(subject string) string
}

// Fleet is the fleet view. Its methods are safe for concurrent use once Open has returned.
type Fleet struct {
	cfg   Config
	opts  Options
	index *index

	conn       *nats.Conn
	system     *nats.Conn
	js         jetstream.JetStream
	outbox     *outbox            // nil: events are not stored
	unreadable *throttle.Throttle // of log lines about messages that cannot be read
	unread     *throttle.Throttle // of log lines about registrations that are not read
	omissions  *throttle.Throttle // of log lines about values that are not indexed
	foreign    *throttle.Throttle // of log lines about ignored shutdown events
	refused    *throttle.Throttle // of log lines about requests of edges
	readers    chan struct{}      // holds one element for each call that reads with a consumer
	checkEvery time.Duration      // how often a feed checks its stream; checkInterval, or less in tests
	patience   time.Duration      // how long a feed waits for a stored message; loadTimeout, or less in tests

	pulled int // how many messages a feed requests ahead, see maxPulledBytes

	reconnected chan struct{} // has an element when the system connection was lost and is back
	reconciled  atomic.Uint64 // differences that reconciliation found
	omitted     atomic.Uint64 // facts, classes and agents of registrations that are beyond the index's limits
	ignored     atomic.Uint64 // shutdown events that the node they name did not publish

	sitesAdded chan struct{}                   // has an element when events of new sites must be read
	edgeNames  atomic.Pointer[map[string]bool] // names of edges

	storesForwarded atomic.Bool // the stream of events has the subject of forwarded ones

	shared       atomic.Int64  // registry.shared
	budget       indexBudget   // of the index
	skippedFacts atomic.Uint64 // registrations whose facts were not read, see readsFacts

	mu       sync.Mutex
	registry *registry     // guarded by mu
	stepped  time.Duration // what opts.Clock returned last; guarded by mu

	ctx       context.Context // done once Close is called
	cancel    context.CancelFunc
	closeOnce sync.Once
	wg        sync.WaitGroup
}

// New returns a Fleet; Open starts it.
func New(cfg Config, o Options) *Fleet {
	f := &Fleet{
		cfg: cfg, opts: o, index: newIndex(cfg.Index),
		unreadable: throttle.New(unreadableInterval), unread: throttle.New(unreadInterval),
		omissions: throttle.New(unreadableInterval), foreign: throttle.New(foreignInterval),
		refused: throttle.New(unreadableInterval), sitesAdded: make(chan struct{}, 1),
		readers: make(chan struct{}, maxReaders), checkEvery: checkInterval, patience: loadTimeout,
		reconnected: make(chan struct{}, 1),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Open rebuilds the view from the streams and keeps it up to date from then on. The appliance
// must accept nodes only after Open has returned, so that no connect event is missed.
func (f *Fleet) Open(ctx context.Context) error {
	steps := []func(context.Context) error{
		f.connect, f.restore, f.followForwarded, f.followRegistrations, f.subscribe, f.followShutdowns, f.receiveHeartbeats,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return errors.Join(err, f.Close(ctx))
		}
	}
	f.wg.Go(f.tick)
	f.wg.Go(f.reconcileConnections)
	f.wg.Go(f.learnIntervals)
	return nil
}

// connect opens both connections and starts the outbox.
func (f *Fleet) connect(context.Context) (err error) {
	if f.conn, err = f.opts.Connect("fleet"); err != nil {
		return err
	}
	if f.system, err = f.opts.ConnectSystem("fleet", nats.ReconnectHandler(f.handleReconnect)); err != nil {
		return err
	}
	f.pulled = int(min(max(maxPulledBytes/f.conn.MaxPayload(), 2), maxPulled))
	f.js, err = jetstream.New(f.conn, jetstream.WithPublishAsyncMaxPending(2*maxUnacked),
		jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		return err
	}
	emit := func(*Event) {}
	if f.opts.StoreEvents {
		f.outbox = newOutbox(f.js, f.advisoryFunc(), f.opts.Log)
		f.outbox.prefix = f.opts.PublishPrefix
		if memory := f.opts.Memory; memory > 0 {
			f.outbox.limit = int(min(memory/waitingMemory, maxWaiting))
		}
		f.wg.Go(f.outbox.run)
		emit = f.emitStored
	}
	var now time.Time
	now, f.stepped = f.opts.Clock()
	f.registry = newRegistry(f.rules(f.cfg, now), f.opts.Site, f.cfg.StormShare, emit)
	f.registry.learning = true
	f.updateSites()
	return nil
}

// rules returns the limits of a configuration for a process that started at the given time.
func (f *Fleet) rules(cfg Config, started time.Time) Rules {
	r := cfg.Rules(started)
	r.Conflict = f.opts.ConflictAfter
	return r
}

// ReportLost stores the event that a stream lost messages.
func (f *Fleet) ReportLost(stream string, messages uint64, reason string, noticed time.Time) {
	if f.outbox == nil {
		return
	}
	f.outbox.put(&Event{
		Event: eventLost, Reason: reason, Since: noticed, Site: f.opts.Site, Stream: stream, Lost: messages,
	})
}

// tick updates the states until the fleet closes.
func (f *Fleet) tick() {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-ticker.C:
			f.updateSites()
			f.withRegistry(func(r *registry, now time.Time) { r.tick(now) })
		}
	}
}

// logUnreadable logs that a message cannot be read, at most once a minute.
func (f *Fleet) logUnreadable(subject string, err error) {
	if count, log := f.unreadable.Add("", 1, f.opts.Now()); log {
		f.opts.Log.Warn("message not read", "subject", subject, "error", err, "count", count)
	}
}

// Reload applies the keys of cfg for which Reloadable is true: the time limits and the storm share.
func (f *Fleet) Reload(cfg Config) {
	f.withRegistry(func(r *registry, now time.Time) { r.setRules(f.rules(cfg, r.rules.Started), cfg.StormShare, now) })
}

// Reloadable reports whether Reload applies a key of [fleet].
func Reloadable(key string) bool {
	switch key {
	case "late_after", "down_after", "forget_after", "disconnect_grace", "storm_share":
		return true
	default:
		return false
	}
}

// StopConnectionEvents stops reading connect and disconnect events. Call it before the appliance
// disconnects its nodes to stop: those disconnects do not mean that the nodes are down.
func (f *Fleet) StopConnectionEvents() {
	if f.system != nil {
		f.system.Close()
	}
}

// Close waits until the waiting events are stored or ctx is done, and stops every goroutine. It
// always returns nil. It may be called twice, and after Open returned an error.
func (f *Fleet) Close(ctx context.Context) error {
	f.closeOnce.Do(func() {
		f.StopConnectionEvents()
		f.cancel()
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
