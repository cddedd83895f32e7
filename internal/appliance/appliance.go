// Package appliance assembles the components into an appliance: it gives each its configuration
// and its connection, opens what receives messages before what sends them, accepts nodes last, and
// closes all so that every message is counted. It does none of their work.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/audit"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/governor"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/privatestream"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/nats-io/nats.go/jetstream"
)

// Appliance is one `muster run`. Its methods other than New, Open and Close are safe for
// concurrent use while it is open.
type Appliance struct {
	cfg      *Config
	opts     Options
	verifier *choria.Verifier // verifies connections and messages
	rejected *rejected.Table  // refused connections and rejected messages
	clock    *clock

	privateToken string // write token of the private streams

	lock      *dirLock
	recorder  *recorder
	broker    *broker.Broker
	audit     *audit.Log             // what administrators do
	private   *privatestream.Service // protects the streams that only the appliance writes to
	streams   jetstream.JetStream
	governors *governor.Gate // lets nodes enter governors
	fleet     *fleet.Fleet   // nil: the fleet view is disabled
	adapters  []*adapter.Adapter
	forwards  []*forward.Forwarder // to each hub
	console   *console.Console

	ready     atomic.Bool     // between the end of Open and Close
	ctx       context.Context // done once Close is called
	cancel    context.CancelFunc
	quit      chan struct{} // closed by Close
	wg        sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// Options come from the program that runs the appliance.
type Options struct {
	Version    string
	Commit     string // of the program; empty: unknown
	ConfigFile string // path; empty: none
	Log        hclog.Logger
}

// New returns an appliance. Open starts it.
func New(cfg *Config, o Options) *Appliance {
	a := &Appliance{
		cfg:      cfg,
		opts:     o,
		verifier: choria.NewVerifier(cfg.Broker.Tokens()),
		rejected: rejected.New(),
		clock:    newClock(o.Log),
		quit:     make(chan struct{}),
	}
	a.audit = a.newAudit()
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// Open starts every component, and accepts the connections of nodes last, so that an adapter
// listens before a node publishes its first message. After an error everything is closed.
func (a *Appliance) Open(ctx context.Context) error {
	steps := []func(context.Context) error{
		a.takeLock,
		a.loadRecord,
		a.loadWriteToken,
		a.openBroker,
		a.openPrivateStreams,
		a.openStreams,
		a.audit.Open,
		a.compareStreams,
		a.openFleet,
		a.openAdapters,
		a.openGovernors,
		a.openForwards,
		a.startWatching,
		a.openConsole,
		a.writeToken,
		a.acceptNodes,
	}
	for _, step := range steps {
		err := ctx.Err()
		if err == nil {
			err = step(ctx)
		}
		if err != nil {
			return errors.Join(err, a.Close(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

// takeLock locks the data directory against another appliance.
func (a *Appliance) takeLock(context.Context) (err error) {
	a.lock, err = lockDir(a.cfg.DataDir)
	return err
}

func (a *Appliance) openBroker(ctx context.Context) error {
	a.broker = broker.New(a.cfg.Broker, a.cfg.JetStream, broker.Options{
		Name:       a.cfg.Identity,
		StoreDir:   a.cfg.DataDir,
		CRLRecord:  a.cfg.CRLRecordFile(),
		Memory:     machineMemory(),
		MaxBacklog: a.cfg.maxBacklog(),
		Ingest:     a.cfg.ingestSubjects(),
		Private:    a.cfg.outputSubjects(),
		Intakes:    a.cfg.intakes(),

		CheckRequests:  true,
		PrivateStreams: a.cfg.privateStreams(a.cfg.privateOutputs()),
		WriteToken:     a.privateToken,

		MaxClientBacklog: a.cfg.clientBacklog(),

		Verifier: a.verifier,
		Rejected: a.rejected,
		Now:      time.Now,
		Log:      a.opts.Log.Named("broker"),
		Audit:    a.audit.Add,

		Recorded: a.recorder.recorded,
		Noticed:  a.recorder.restored.put,
		Reopened: a.recorder.noteReopened,
	})
	if err := a.broker.Open(ctx); err != nil {
		return err
	}
	a.recorder.streams, a.recorder.skipTo = a.broker.Streams, a.broker.SkipTo
	a.recorder.storeOpened()
	return nil
}

func (a *Appliance) openAdapters(ctx context.Context) error {
	buffers := a.cfg.bufferSizes()
	for i, cfg := range a.cfg.EnabledAdapters() {
		ad := adapter.New(*cfg, adapter.Options{
			Site:         a.cfg.Site,
			Buffer:       buffers[i],
			Now:          time.Now,
			Stream:       a.cfg.DeclaredStreams().StreamFor(cfg.Stream.Subject("sender")),
			Connect:      a.broker.Connect,
			Dial:         a.broker.DialInproc,
			DialInput:    a.dialInput(cfg.Name),
			Identities:   a.cfg.Broker.VerifiesIdentities(),
			MessagesSent: a.broker.MessagesSent,
			Verifier:     a.verifier,
			Rejected:     a.rejected,

			PublishPrefix: a.private.Prefix,
			NotePublisher: a.notePublisher,

			Log: a.opts.Log.Named("adapter").Named(cfg.Name),
		})
		if err := ad.Open(ctx); err != nil {
			return fmt.Errorf("adapter %s: %w", cfg.Name, err)
		}
		a.adapters = append(a.adapters, ad)
	}
	return nil
}

// dialInput returns a function that connects the adapter with that name to receive messages.
func (a *Appliance) dialInput(adapterName string) adapter.Dial {
	return func(name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error) {
		return a.broker.DialIntake(adapterIntake(adapterName), name, subjects, receiver)
	}
}

// startWatching starts to limit the memory of the process, and to notice steps of the clock.
func (a *Appliance) startWatching(context.Context) error {
	a.wg.Go(a.limitMemory)
	a.wg.Go(a.watchClock)
	return nil
}

func (a *Appliance) openConsole(ctx context.Context) error {
	metrics, choriaMetrics := a.registries()
	options := console.Options{
		Log:      a.opts.Log.Named("console"),
		Now:      time.Now,
		Names:    a.cfg.hostNames(),
		NotReady: a.NotReady,
		Warnings: a.Warnings,
		Metrics:  metrics,
		Choria:   choriaMetrics,
		About:    a.about,
		NATS:     a.broker.Handlers(),
		Rejected: a.rejected.Entries,
		Streams:  a.listStreams,

		Permissions: a.broker.RefusedPermissions,
		Forward:     a.Forwards,
		Leafnodes:   a.Leafnodes,
	}
	if a.fleet != nil {
		options.Fleet, options.Sites, options.Registrations, options.Events = a.fleet, a.fleet, a.fleet, a.fleet
	}
	a.console = console.New(a.cfg.Console, options)
	metrics.MustRegister(a.console.Collector())
	return a.console.Open(ctx)
}

// acceptNodes opens the broker's port. From here on the appliance is ready.
func (a *Appliance) acceptNodes(context.Context) error {
	if err := a.broker.Accept(); err != nil {
		return err
	}
	a.ready.Store(true)
	return nil
}

// Stats returns the ledger of each adapter, by the adapter's name.
func (a *Appliance) Stats() map[string]adapter.Stats {
	stats := make(map[string]adapter.Stats, len(a.adapters))
	for _, ad := range a.adapters {
		stats[ad.Name()] = ad.Stats()
	}
	return stats
}

// States returns the number of nodes in each state; nil if the fleet view is disabled.
func (a *Appliance) States() map[fleet.State]int {
	if a.fleet == nil {
		return nil
	}
	return a.fleet.Summary().States
}
