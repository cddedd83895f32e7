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
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
)

// Dial opens a connection of an organ to this appliance's broker.
type Dial func(name string, options ...nats.Option) (*nats.Conn, error)

// Options is what an adapter is given by the appliance around it.
type Options struct {
	Site   string           // where it collects
	Buffer int64            // bytes; stands in for the configured buffer where that is 0
	Now    func() time.Time // the site's clock
	Log    hclog.Logger
}

// Adapter is one [adapter.NAME].
type Adapter struct {
	cfg  Config
	site string
	now  func() time.Time
	log  hclog.Logger

	in     *nats.Conn
	topics []*nats.Subscription
	local  *publisher // to this appliance
	out    *publisher // where the stream is: local, or another NATS
	links  links

	mu        sync.Mutex
	work      *sync.Cond // there is something to parse, or nothing will come any more
	ledger    *ledger
	queue     queue
	lanes     *lanes
	retries   retries
	sent      int    // unanswered
	recording int    // rejected and not yet known to be recorded
	fault     string // why the stream does not take messages; empty while it does
	stopping  bool   // nothing more is received
	stopped   bool   // nothing more is sent
	idle      chan struct{}

	once sync.Once
	quit chan struct{}
	wg   sync.WaitGroup
}

// New makes an adapter that does nothing yet.
func New(cfg Config, o Options) *Adapter {
	if cfg.Buffer == 0 {
		cfg.Buffer = o.Buffer
	}
	if cfg.Ingest.Workers == 0 {
		cfg.Ingest.Workers = int64(runtime.NumCPU())
	}
	a := &Adapter{
		cfg:    cfg,
		site:   o.Site,
		now:    o.Now,
		log:    o.Log,
		ledger: newLedger(cfg.Buffer, uint64(cfg.QueueLen)),
		lanes:  newLanes(),
		idle:   make(chan struct{}),
		quit:   make(chan struct{}),
	}
	a.work = sync.NewCond(&a.mu)
	return a
}

// Open connects and subscribes. When it returns, whatever is published to the topics is
// received.
func (a *Adapter) Open(dial Dial) error {
	if err := a.connect(dial); err != nil {
		return errors.Join(err, a.Close(context.Background()))
	}
	if err := a.subscribe(); err != nil {
		return errors.Join(err, a.Close(context.Background()))
	}
	for range a.cfg.Ingest.Workers {
		a.wg.Go(a.parseMessages)
	}
	a.wg.Go(a.watch)
	return a.in.Flush()
}

func (a *Adapter) connect(dial Dial) error {
	var err error
	if a.in, err = dial("choria adapter "+a.cfg.Name, a.links.options()...); err != nil {
		return err
	}
	if a.local, err = newPublisher(a.in); err != nil {
		return err
	}
	a.out = a.local
	if len(a.cfg.Stream.Servers) == 0 {
		return nil
	}
	nc, err := nats.Connect(strings.Join(a.cfg.Stream.Servers, ","), a.remoteOptions()...)
	if err != nil {
		return fmt.Errorf("connect to stream.servers: %w", err)
	}
	a.out, err = newPublisher(nc)
	return err
}

func (a *Adapter) subscribe() error {
	for _, topic := range a.cfg.Ingest.Topics {
		sub, err := a.in.Subscribe(topic, a.receive)
		if err == nil {
			a.topics = append(a.topics, sub)
			err = sub.SetPendingLimits(-1, -1) // receive never waits, and the buffer is the bound
		}
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", topic, err)
		}
	}
	return nil
}

// Stats is the ledger as it stands.
func (a *Adapter) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.countLost()
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
	return a.in.IsConnected() && a.out.nc.IsConnected()
}

// Name is the adapter's name in the configuration.
func (a *Adapter) Name() string { return a.cfg.Name }
