package adapter

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/puback"
	"github.com/nats-io/nats.go"
)

const (
	// ackWait is how long an ack may take. A stream whose disk is full never sends one.
	ackWait = 5 * time.Second
	// maxAckBytes is the largest ack that is read; a longer one makes no sense.
	maxAckBytes = 4 << 10
)

// publisher publishes to JetStream and reports the ack of each message, or that there is none,
// exactly once.
//
// It does not use nats.go's asynchronous publishing, whose retries let a later message of a sender
// overtake an earlier one. It does not use JetStream batches, because the stream acknowledges only
// the last message of a batch: the adapter could not know which of the others were duplicates, and
// which one had an error.
type publisher struct {
	transport transport
	inbox     string // prefix of the subjects that acks are sent to

	mu        sync.Mutex
	lastToken uint64                      // number of the last publish; the end of its reply subject
	callbacks map[uint64]func(puback.Ack) // by token
	deadlines []deadline                  // in the order of publishing, which is the order in time
}

// transport is a connection to NATS that reconnects. It calls ackReceived for messages to the
// publisher's inbox. It copies what it publishes.
type transport interface {
	publish(out *streamMessage, reply string) error
	connected() bool
	close()
}

// deadline is the time by which the ack of a publish must have come.
type deadline struct {
	token uint64
	at    time.Time
}

// newPublisher returns a publisher whose transport is not set yet.
func newPublisher() *publisher {
	return &publisher{inbox: nats.NewInbox() + ".", callbacks: map[uint64]func(puback.Ack){}}
}

// openPublishers connects the publishers. Rejected messages are always published to this appliance.
func (a *Adapter) openPublishers() error {
	local := newPublisher()
	conn := a.newPublishingConn(local)
	local.transport = conn
	a.appliancePublisher, a.streamPublisher = local, local
	if err := conn.open(); err != nil {
		return err
	}
	if len(a.cfg.Stream.Servers) == 0 {
		return nil
	}
	other := newPublisher()
	remote, err := a.openRemote(other)
	if err != nil {
		return err
	}
	other.transport = remote
	a.streamPublisher = other
	return nil
}

// newPublishingConn returns the connection over which a publisher publishes to this appliance. When
// a connection ends, its unacknowledged messages are published again.
func (a *Adapter) newPublishingConn(p *publisher) *localConn {
	name := "choria adapter " + a.cfg.Name + " output"
	return &localConn{
		name:     name,
		subjects: []string{p.inbox + "*"},
		receiver: &ackReceiver{publisher: p},
		dial:     a.opts.Dial,
		stats:    a.connStats,
		onEnd:    p.failAll,
		onOutageOver: func(o outage) {
			if o.reconnected {
				a.connStats.countError(name, "broker", o.err)
			}
		},
	}
}

// ackReceiver is the inproc.Receiver of a publishing connection to this appliance.
type ackReceiver struct {
	publisher *publisher
	buffer    [maxAckBytes]byte // used for every ack: Receive is done with it before the next one
}

// Memory returns memory for an ack, or nil to discard one that is too long.
func (r *ackReceiver) Memory(size int, _ inproc.Peer) []byte {
	if size > len(r.buffer) {
		return nil
	}
	return r.buffer[:size]
}

// Receive hands an ack to the publisher.
func (r *ackReceiver) Receive(in inproc.Message) {
	r.publisher.ackReceived(in.Subject, puback.Parse(in.Status, in.Data))
}

// publish publishes a message. If it returns nil, onAck is called once, from another goroutine;
// otherwise it is not called.
func (p *publisher) publish(out *streamMessage, now time.Time, onAck func(puback.Ack)) error {
	p.mu.Lock()
	p.lastToken++
	token := p.lastToken
	p.callbacks[token] = onAck
	p.deadlines = append(p.deadlines, deadline{token, now.Add(ackWait)})
	p.mu.Unlock()
	err := p.transport.publish(out, p.inbox+strconv.FormatUint(token, 36))
	if err != nil && p.removeCallback(token) == nil {
		return nil // failAll has called onAck: the connection ended meanwhile
	}
	return err
}

// removeCallback removes and returns the function to call with the token's ack; nil if the
// callback has been called.
func (p *publisher) removeCallback(token uint64) func(puback.Ack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	onAck := p.callbacks[token]
	delete(p.callbacks, token)
	return onAck
}

// ackReceived handles an ack that was sent to subject, which ends with the token.
func (p *publisher) ackReceived(subject string, ack puback.Ack) {
	if token, err := strconv.ParseUint(strings.TrimPrefix(subject, p.inbox), 36, 64); err == nil {
		p.finish(token, ack)
	}
}

// finish reports the ack of a publish. An ack for a token that is finished already is ignored.
func (p *publisher) finish(token uint64, ack puback.Ack) {
	if onAck := p.removeCallback(token); onAck != nil {
		onAck(ack)
	}
}

// expire reports puback.ErrNoAck for every publish whose deadline is over.
func (p *publisher) expire(now time.Time) {
	for _, token := range p.overdue(now) {
		p.finish(token, puback.Ack{Err: puback.ErrNoAck})
	}
}

// failAll reports puback.ErrNoAck for every publish: the connection has ended.
func (p *publisher) failAll() {
	p.mu.Lock()
	tokens := slices.Sorted(maps.Keys(p.callbacks))
	p.mu.Unlock()
	for _, token := range tokens {
		p.finish(token, puback.Ack{Err: puback.ErrNoAck})
	}
}

// overdue returns the tokens whose ack is still missing at its deadline.
func (p *publisher) overdue(now time.Time) []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var tokens []uint64
	for len(p.deadlines) > 0 {
		first := p.deadlines[0]
		_, missing := p.callbacks[first.token]
		if missing && now.Before(first.at) {
			break
		}
		if missing {
			tokens = append(tokens, first.token)
		}
		p.deadlines = p.deadlines[1:]
	}
	return tokens
}
