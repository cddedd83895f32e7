// Package forward copies streams of this appliance, an edge, to a hub, and tells the hub about the site. It reads
// with a durable consumer, publishes over an ordinary NATS connection that it dials, and decides which registrations
// are left out. Each message is stored at the hub once, and the messages of a sender in their order: also after a
// cut, a crash, or when the edge was restored from a backup. The package does not judge nodes, and changes no stream.
//
// There are two connections to the hub: one for events of the fleet view and heartbeats, so that these do not wait
// behind data, and one for all other streams.
package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/muster-appliance/muster/internal/tlsfile"
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"
)

// Options is what the appliance passes to a Forwarder. All fields are required, except Fleet and Sites.
type Options struct {
	Site      string
	Identity  string // user name at the hub, unless the configuration has credentials
	Version   string
	Directory string        // where the state of forwarding is kept
	TLS       tlsfile.Files // used where the configuration has no certificate or CA of its own
	Volatile  []string      // facts that do not count as a change
	Now       func() time.Time

	Connect       func(name string, options ...nats.Option) (*nats.Conn, error) // to this appliance
	PublishPrefix func(subject string) string                                   // what must precede a subject here

	Fleet    Fleet                           // nil: the fleet view is disabled
	Adapters func() map[string]uplink.Ledger // ledgers of the adapters
	Disk     func() uplink.Disk              // use of the store
	Sites    func() []uplink.Heartbeat       // last heartbeats of the sites that forward to this one; nil: none
	Log      hclog.Logger
}

// Fleet is the fleet view of this appliance.
type Fleet interface {
	// Counts returns the number of nodes by state, and how many events of them are not stored yet.
	Counts() (nodes map[string]int, waiting int)
	// SnapshotPage returns the states of at most limit nodes, in the form of events, that follow a position; "" is
	// the beginning, and as next the end.
	SnapshotPage(after string, limit int) (nodes []json.RawMessage, next string)
}

// Forwarder forwards to one hub. Its methods are safe for concurrent use once Open has returned.
type Forwarder struct {
	cfg      Config
	opts     Options
	conn     *nats.Conn // to this appliance
	js       jetstream.JetStream
	lineages *lineages
	data     *link
	events   *link
	copiers  []*copier // those of events first

	settings  atomic.Pointer[settings]
	site      atomic.Pointer[string] // of the hub; nil: it has not told yet
	beat      heartbeats
	rejects   *rejects
	closeOnce sync.Once
	ctx       context.Context // done once Close is called
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

// settings are the keys that Reload changes.
type settings struct {
	paused bool
	hours  []Hours
}

// New returns a Forwarder; Open starts it.
func New(cfg Config, o Options) *Forwarder {
	f := &Forwarder{cfg: cfg, opts: o, rejects: newRejects()}
	f.beat.unanswered = throttle.New(unansweredInterval)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	window := int(cfg.Window)
	f.data = newLink("muster forward "+o.Site, window, o.Now, f.wake)
	f.events = newLink("muster forward "+o.Site+" events", window, o.Now, f.wake)
	for _, name := range slices.Sorted(maps.Keys(cfg.Streams)) {
		if s := cfg.Streams[name]; s.Enabled {
			l := f.data
			if name == contract.StreamFleet {
				l = f.events
			}
			f.copiers = append(f.copiers, newCopier(f, s, l))
		}
	}
	f.apply(cfg)
	return f
}

// wake wakes the copiers: a link is up, or has room for another message.
func (f *Forwarder) wake() {
	for _, c := range f.copiers {
		signal(c.wake)
	}
}

// Name returns the name of the hub in the configuration.
func (f *Forwarder) Name() string { return f.cfg.Name }

// Open starts to forward. The hub need not be reachable.
func (f *Forwarder) Open(context.Context) (err error) {
	if err = f.open(); err != nil {
		err = errors.Join(err, f.Close(f.ctx))
	}
	return err
}

func (f *Forwarder) open() (err error) {
	if f.lineages, err = loadLineages(filepath.Join(f.opts.Directory, f.cfg.Name+".json")); err != nil {
		f.opts.Log.Warn("state of forwarding not read; some messages may be stored at the hub twice", "error", err)
	}
	if f.conn, err = f.opts.Connect("forward " + f.cfg.Name); err != nil {
		return err
	}
	f.js, err = jetstream.New(f.conn, jetstream.WithPublishAsyncErrHandler(f.noteUnrecorded))
	if err != nil {
		return err
	}
	options, err := f.hubOptions()
	if err != nil {
		return fmt.Errorf("forward to %s: %w", f.cfg.Name, err)
	}
	proxy, err := f.cfg.proxyURL()
	if err != nil {
		return fmt.Errorf("forward to %s: %w", f.cfg.Name, err)
	}
	for _, l := range []*link{f.events, f.data} {
		if err := l.open(f.ctx, f.cfg.Servers, proxy, options); err != nil {
			return fmt.Errorf("forward to %s: %w", f.cfg.Name, err)
		}
	}
	for _, c := range f.copiers {
		f.wg.Go(func() { c.read(f.ctx) })
		f.wg.Go(func() { c.dispatch(f.ctx) })
	}
	f.wg.Go(f.sendHeartbeats)
	f.wg.Go(f.watchLinks)
	return nil
}

// Reload applies paused, hours and rate of a configuration.
func (f *Forwarder) Reload(cfg Config) {
	f.apply(cfg)
	f.wake()
}

func (f *Forwarder) apply(cfg Config) {
	f.settings.Store(&settings{cfg.Paused, cfg.Hours})
	limit, burst := rate.Inf, 0
	if cfg.Rate > 0 {
		limit, burst = rate.Limit(cfg.Rate), int(max(cfg.Rate, minBurst))
	}
	for _, c := range f.copiers {
		if c.isData {
			c.limiter.SetBurst(burst)
			c.limiter.SetLimit(limit)
		}
	}
}

// minBurst is how many bytes may be published at once although the rate is lower.
const minBurst = 4 << 10

// Reloadable reports whether Reload applies a key of [forward.NAME].
func Reloadable(key string) bool { return slices.Contains([]string{"paused", "hours", "rate"}, key) }

// paused reports whether data must not be forwarded at a time.
func (f *Forwarder) paused(now time.Time) bool {
	s := f.settings.Load()
	return s.paused || !isWithin(s.hours, now)
}

// noteHub keeps the site of the hub.
func (f *Forwarder) noteHub(site string) { f.site.Store(&site) }

// hubSite returns the site of the hub; empty: it has not told yet.
func (f *Forwarder) hubSite() string {
	if site := f.site.Load(); site != nil {
		return *site
	}
	return ""
}

// Close stops reading, waits for the acks of what is on its way until ctx is done, and ends every goroutine. What has
// no outcome then is forwarded after the next start. It always returns nil, and may be called twice.
func (f *Forwarder) Close(ctx context.Context) error {
	f.closeOnce.Do(func() {
		f.cancel()
		f.wg.Wait()
		f.awaitAcks(ctx)
		f.events.close()
		f.data.close()
		if f.conn != nil {
			_ = f.conn.FlushTimeout(apiTimeout) // the acks for the consumers
			f.conn.Close()
		}
	})
	return nil
}

// awaitAcks waits until nothing is on its way, or ctx is done, or the links are down or do not answer.
func (f *Forwarder) awaitAcks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	onItsWay := func(c *copier) bool { return c.link.isUp() && c.onItsWay() > 0 }
	for slices.ContainsFunc(f.copiers, onItsWay) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// onItsWay returns how many requests to the hub have no answer.
func (c *copier) onItsWay() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight
}
