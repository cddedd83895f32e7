// Package adapter receives Choria messages, publishes one stream message for each, and counts
// every one of them. It opens no port, creates no stream, and decides nothing about nodes.
//
// The way of a message is listed at the top of flow.go.
package adapter

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/internal/retry"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats.go"
)

// Dial opens an internal connection to this appliance's broker, subscribed to the subjects.
type Dial func(name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error)

// Connect opens an internal connection of the client library to this appliance's broker.
type Connect func(name string, options ...nats.Option) (*nats.Conn, error)

// Options is what the appliance hands to an adapter.
type Options struct {
	Site         string                                 // the value of the header Muster-Site
	Buffer       int64                                  // maximum of bytes received and not yet stored
	Now          func() time.Time                       // the appliance's clock
	Stream       string                                 // in this appliance, that stores the output; empty: none
	Connect      Connect                                // connects to the broker of this process, to read the stream
	Dial         Dial                                   // connects to the broker of this process
	DialInput    Dial                                   // connects to receive messages, each with its Peer
	Identities   bool                                   // the broker verifies the identity of each connection
	MessagesSent func(id uint64) (msgs uint64, ok bool) // to a connection, by its id; ok: it is known
	Verifier     *choria.Verifier                       // shared with the broker
	Rejected     *rejected.Table                        // remembers the senders of rejected messages; may be nil

	// PublishPrefix returns what must precede a subject, which may hold wildcards, when the appliance publishes
	// to it; nil: nothing. Subjects at stream.servers are not concerned.
	PublishPrefix func(subject string) string

	// NotePublisher is called for each message whose sender is accepted, with the connection that it came over.
	// It must not wait. It may be nil.
	NotePublisher func(sender string, connection uint64)

	Log hclog.Logger
}

// phase is where an adapter stands in its life. Phases only go forward:
//
//	opening   New has returned; Open connects.
//	running   Open has returned: messages are received, converted and published.
//	settling  Close has drained the input: nothing more is received, and pending messages
//	          still get their outcome.
//	stopped   Pending messages have been counted as dropped. Nothing more is published,
//	          late acks are ignored, and the goroutines return.
//
// An Open that failed goes from opening through settling to stopped at once.
type phase int

const (
	opening phase = iota
	running
	settling
	stopped
)

// Adapter runs one [adapter.NAME].
//
// mu guards the fields from phase to fault. It is held for a few lines that never wait: nothing is
// converted, published, logged or written with the mutex held.
type Adapter struct {
	cfg  Config
	opts Options

	input              *localConn // receives what is published to the subjects of ingest.topic
	appliancePublisher *publisher // publishes to this appliance; nil before Open
	streamPublisher    *publisher // publishes to the stream: appliancePublisher, or to stream.servers; nil before Open
	connStats          *connStats

	streamPrefix string // precedes the subjects of stored messages
	rejectPrefix string // precedes the subjects of rejected messages

	signatures signatures
	rawPool    memoryPool // memory of received messages
	outPool    memoryPool // memory of messages to publish

	mu             sync.Mutex
	phase          phase
	workerWake     *sync.Cond // wakes a worker: there may be a message to convert, or the phase is stopped
	ledger         *ledger
	peers          *peerQueues
	signedTimes    *signedTimes
	senders        *senderQueues
	retries        retry.Queue[*message]
	unackedRejects int    // rejected messages whose copy in MUSTER_REJECTED has no ack yet
	fault          string // why the stream does not store messages; cleared only when a message is counted as stored

	idle   chan struct{} // closed when the phase is settling and nothing is pending any more
	halted chan struct{} // closed when the phase becomes stopped
	once   sync.Once     // runs Close
	wg     sync.WaitGroup
}

// New returns an adapter that does nothing before Open.
func New(cfg Config, o Options) *Adapter {
	a := &Adapter{
		cfg:         cfg,
		opts:        o,
		connStats:   newConnStats(o),
		ledger:      newLedger(o.Buffer, uint64(cfg.QueueLen)),
		signedTimes: newSignedTimes(cfg.ClockSkew),
		idle:        make(chan struct{}),
		halted:      make(chan struct{}),
	}
	a.peers = newPeerQueues(a.ledger, a.recycle)
	a.senders = newSenderQueues(&a.peers.turns)
	if o.PublishPrefix != nil {
		a.rejectPrefix = o.PublishPrefix(contract.SubjectRejected + ">")
		if len(cfg.Stream.Servers) == 0 {
			a.streamPrefix = o.PublishPrefix(subject.OfAllSenders(cfg.Stream.Topic))
		}
	}
	a.workerWake = sync.NewCond(&a.mu)
	a.input = a.newInput()
	return a
}

// Open connects and subscribes. When it returns, everything published to the subjects
// of ingest.topic is received. After an error the adapter is closed.
func (a *Adapter) Open(ctx context.Context) error {
	if err := a.open(ctx); err != nil {
		return errors.Join(err, a.Close(context.WithoutCancel(ctx)))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.phase = running
	return nil
}

// open starts everything in the reverse order of a message's way.
func (a *Adapter) open(ctx context.Context) error {
	if err := a.openPublishers(); err != nil {
		return err
	}
	a.restoreSignedTimes(ctx)
	for range a.workers() {
		a.wg.Go(a.convertMessages)
	}
	a.wg.Go(a.watch)
	return a.input.open()
}

// workers returns how many messages are converted in parallel.
func (a *Adapter) workers() int {
	if a.cfg.Ingest.Workers == 0 {
		return runtime.NumCPU()
	}
	return int(a.cfg.Ingest.Workers)
}

// Name returns the adapter's name in the configuration.
func (a *Adapter) Name() string { return a.cfg.Name }

// Stats returns a copy of the ledger.
func (a *Adapter) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ledger.snapshot()
}

// Fault returns why the stream does not store messages; it is empty while it does. After a fault it
// becomes empty when the stream has stored a message.
func (a *Adapter) Fault() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fault
}

// Connected reports whether messages can be received and published.
func (a *Adapter) Connected() bool {
	a.mu.Lock()
	opened := a.phase != opening
	a.mu.Unlock()
	// Without the mutex: a publish that hangs can block streamPublisher.transport.connected.
	return opened && a.input.connected() && a.streamPublisher.transport.connected()
}
