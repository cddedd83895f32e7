// Package adapter takes Choria messages in and puts stream messages out, and counts every
// one of them. It opens no port, makes no stream, and decides nothing about nodes.
//
// A message goes one way: received into the queue, parsed by a worker, into its sender's
// lane, published, and to its verdict when the stream has answered. Nothing on that way
// waits while it holds the mutex, and everything that is shared is guarded by it.
package adapter

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/rejected"
)

// Dial opens a connection of an organ to this appliance's broker, subscribed to the subjects.
type Dial func(name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error)

// Options is what an adapter is given by the appliance around it.
type Options struct {
	Site      string           // where it collects
	Buffer    int64            // bound on the bytes received and not yet stored
	Now       func() time.Time // the site's clock
	Dial      Dial
	Delivered func(id uint64) (msgs uint64, ok bool) // what the broker sent to a connection that has ended
	Verifier  *choria.Verifier
	Rejected  *rejected.Table // is told whose messages are rejected; nil: nobody
	Log       hclog.Logger
}

// Adapter is one [adapter.NAME].
type Adapter struct {
	cfg       Config
	site      string
	now       func() time.Time
	wire      Dial
	delivered func(id uint64) (msgs uint64, ok bool)
	verifier  *choria.Verifier
	refused   *rejected.Table
	log       hclog.Logger

	local *publisher // to this appliance
	out   *publisher // where the stream is: local, or another NATS
	links links

	signatures signatures
	raws, outs buffers // for what has come, and for what is to be stored

	mu        sync.Mutex
	work      *sync.Cond // there is something to parse, or nothing will come any more
	ingest    *ingest    // the current one
	ledger    *ledger
	queue     queue
	lanes     *lanes
	retries   retries
	sent      int    // unanswered
	recording int    // rejected and not yet known to be recorded
	fault     string // why the stream does not take messages; empty while it does
	stopping  bool   // there will be no further connection
	drained   bool   // nothing more is received
	stopped   bool   // nothing more is sent
	idle      chan struct{}

	once      sync.Once
	quit      chan struct{}
	listening sync.WaitGroup
	wg        sync.WaitGroup
}

// New makes an adapter that does nothing yet.
func New(cfg Config, o Options) *Adapter {
	cfg.Buffer = o.Buffer
	if cfg.Ingest.Workers == 0 {
		cfg.Ingest.Workers = int64(runtime.NumCPU())
	}
	a := &Adapter{
		cfg:       cfg,
		site:      o.Site,
		now:       o.Now,
		wire:      o.Dial,
		delivered: o.Delivered,
		verifier:  o.Verifier,
		refused:   o.Rejected,
		log:       o.Log,
		links:     links{log: o.Log},
		ledger:    newLedger(cfg.Buffer, uint64(cfg.QueueLen)),
		lanes:     newLanes(),
		idle:      make(chan struct{}),
		quit:      make(chan struct{}),
	}
	a.work = sync.NewCond(&a.mu)
	return a
}

// Open connects and subscribes. When it returns, whatever is published to the topics is
// received.
func (a *Adapter) Open(ctx context.Context) error {
	if err := a.openOutput(); err != nil {
		return errors.Join(err, a.Close(context.WithoutCancel(ctx)))
	}
	for range a.cfg.Ingest.Workers {
		a.wg.Go(a.parseMessages)
	}
	a.wg.Go(a.watch)
	i, err := a.openIngest()
	if err != nil {
		return errors.Join(err, a.Close(context.WithoutCancel(ctx)))
	}
	a.setIngest(i)
	a.listening.Go(func() { a.listen(i) })
	return nil
}

// openOutput connects to where messages go. What is rejected stays here in any case.
func (a *Adapter) openOutput() error {
	local := newPublisher()
	l, err := a.openLine(local)
	if err != nil {
		return err
	}
	local.carrier = l
	a.local, a.out = local, local
	if len(a.cfg.Stream.Servers) == 0 {
		return nil
	}
	out := newPublisher()
	r, err := a.openRemote(out)
	if err != nil {
		return err
	}
	out.carrier = r
	a.out = out
	return nil
}

// Stats is the ledger as it stands.
func (a *Adapter) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger.snapshot()
}

// Fault says why the stream does not take messages; it is empty while it does.
func (a *Adapter) Fault() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fault
}

// Connected tells whether messages can come in and go out.
func (a *Adapter) Connected() bool {
	a.mu.Lock()
	in := a.ingest
	a.mu.Unlock()
	return in.alive.Load() && a.out.connected() // which may wait for a publish that is stuck
}

// Name is the adapter's name in the configuration.
func (a *Adapter) Name() string { return a.cfg.Name }
