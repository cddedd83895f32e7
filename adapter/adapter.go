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

// inFlight is how many messages may be unanswered; the others wait in their lanes. The
// stream's own queue is bounded too, and answers "too many requests" beyond its bound.
const inFlight = 1024

// Dial opens a connection of an organ to this appliance's broker.
type Dial func(name string, options ...nats.Option) (*nats.Conn, error)

// Adapter is one [adapter.NAME].
type Adapter struct {
	cfg  Config
	site string
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

// New makes an adapter that does nothing yet. Site is where it collects; the buffer is
// in bytes and stands in for the configured one where that is 0.
func New(cfg Config, site string, buffer int64, log hclog.Logger) *Adapter {
	if cfg.Buffer > 0 {
		buffer = cfg.Buffer
	}
	if cfg.Ingest.Workers == 0 {
		cfg.Ingest.Workers = int64(runtime.NumCPU())
	}
	a := &Adapter{
		cfg:    cfg,
		site:   site,
		log:    log,
		ledger: newLedger(buffer, uint64(cfg.QueueLen)),
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

// receive is called for every message. It never waits: there is room, or there is not.
func (a *Adapter) receive(n *nats.Msg) {
	m := &message{
		subject:  n.Subject,
		raw:      n.Data,
		received: time.Now(),
		held:     int64(len(n.Data)) + overhead,
	}
	a.mu.Lock()
	if a.ledger.receive(m) {
		a.queue.put(m)
		a.work.Signal()
	}
	a.mu.Unlock()
}

// parseMessages is a worker: it takes messages until none will come any more.
func (a *Adapter) parseMessages() {
	for {
		a.mu.Lock()
		m := a.queue.take()
		for m == nil && !a.stopped {
			a.work.Wait()
			m = a.queue.take()
		}
		a.mu.Unlock()
		if m == nil {
			return
		}
		start := time.Now()
		a.convert(m)
		a.parsed(m, time.Since(start))
	}
}

// parsed lets everything leave the queue that is parsed and has nothing before it.
func (a *Adapter) parsed(m *message, took time.Duration) {
	var rejected []*message
	a.mu.Lock()
	a.ledger.stats.ParseTime += took
	a.ledger.stats.Parsed++
	if m.out != nil {
		a.ledger.hold(m, m.held+int64(len(m.out.Data)))
	}
	m.parsed = true
	for m := a.queue.leave(); m != nil && !a.stopped; m = a.queue.leave() {
		if m.reason != "" {
			a.ledger.reject(m, m.reason)
			rejected = append(rejected, m)
			continue
		}
		a.lanes.enter(m)
	}
	send := a.sendable()
	a.mu.Unlock()
	for _, m := range rejected {
		a.record(m)
	}
	a.send(send)
}

// sendable takes from the lanes what may be sent now. The mutex is held.
func (a *Adapter) sendable() []*message {
	var send []*message
	for a.sent < inFlight && !a.stopped {
		m := a.lanes.next()
		if m == nil {
			break
		}
		a.sent++
		m.tries++
		m.sent = time.Now()
		send = append(send, m)
	}
	return send
}

// send publishes without the mutex: only one message of a sender is among them, and the
// order between senders is free.
func (a *Adapter) send(messages []*message) {
	for len(messages) > 0 {
		m := messages[0]
		messages = messages[1:]
		err := a.out.publish(m.out, m.sent, func(answer answer) { a.send(a.verdict(m, answer)) })
		if err != nil {
			messages = append(messages, a.verdict(m, answer{err: err})...)
		}
	}
}

// verdict is what the stream's answer, or that there was none, means for a message. It
// gives back what may be sent next.
func (a *Adapter) verdict(m *message, answer answer) []*message {
	a.mu.Lock()
	if a.stopped { // it has been counted as dropped
		a.mu.Unlock()
		return nil
	}
	rejected := a.settle(m, answer)
	a.checkIdle()
	send := a.sendable()
	a.mu.Unlock()
	if rejected {
		a.record(m)
	}
	return send
}

// settle counts the answer, and tells whether it rejects the message. The mutex is held.
func (a *Adapter) settle(m *message, answer answer) (rejected bool) {
	a.sent--
	a.ledger.stats.PublishTime += time.Since(m.sent)
	a.ledger.stats.Answered++
	switch {
	case answer.retry():
		a.fault = answer.detail()
		a.ledger.stats.Retries++
		a.retries.add(m, time.Now())
		return false
	case answer.stored() && answer.Duplicate && m.tries == 1:
		a.ledger.duplicate(m)
	case answer.stored(): // also where our own retry was the duplicate
		a.fault = ""
		a.ledger.store(m)
	default:
		rejected = true
		m.reason, m.detail = answer.reason(), answer.detail()
		a.ledger.reject(m, m.reason)
	}
	a.lanes.leave(m.sender)
	return rejected
}

// checkIdle wakes Close once there is nothing left to wait for. The mutex is held.
func (a *Adapter) checkIdle() {
	if a.stopping && a.ledger.stats.Pending == 0 && a.recording == 0 {
		select {
		case <-a.idle:
		default:
			close(a.idle)
		}
	}
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

// buffer is the bound on the bytes that are held.
func (a *Adapter) buffer() int64 { return a.ledger.mostBytes } // set once, by New
