package forward

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/retry"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"
)

const (
	// maxHeld is how many bytes of messages without an outcome a copier holds at most, plus one message.
	maxHeld = 64 << 20
	// heldCheck is how often a copier that waits looks again.
	heldCheck = time.Second
	// maxAsked is how often the hub is asked for the last message of a sender, until the message is published although
	// it may have been forwarded before.
	maxAsked = 3
)

// copier forwards one stream. This is the way of a message:
//
//	read       reader.go: a durable consumer delivers it
//	receive    it enters the ledger, and the queue of its sender
//	next       it is the first of its sender, and the link has room
//	handle     it may be left out; if the hub may have it already, the hub is asked
//	publish    it is on its way
//	acked      its outcome, or a retry later
//	finish     the outcome is counted; the consumer's ack follows, and the next message of the sender
type copier struct {
	f        *Forwarder
	cfg      *Stream
	link     *link
	isData   bool // rate, hours and paused apply
	limiter  *rate.Limiter
	selector *selector
	reads    *throttle.Throttle // of log lines about the stream
	wake     chan struct{}      // has an element when the dispatcher must look again
	room     chan struct{}      // has an element when the reader must look again

	mu       sync.Mutex
	ledger   ledger
	senders  *senders
	retries  retry.Queue[*message]
	window   map[uint64]*message // messages behind the position, by sequence
	order    []*message          // the same in their order
	held     int                 // bytes of messages without an outcome
	inFlight int                 // requests without an answer
	done     uint64              // the position
	lastRead uint64
	lineage  lineage
	started  uint64                  // messages up to this one may have been forwarded by an earlier process
	known    map[string]*hubMessage  // last messages at the hub, by subject, until the position is at started
	numbered uint64                  // messages that were published
	latest   map[string]sentMessage  // that the hub stored last, by subject; only of subjects of several senders
	opened   bool                    // the stream was opened before
	catching bool                    // the reader gets only the last message of each subject
	restart  context.CancelCauseFunc // ends the reader; nil: it does not read
	unread   uint64                  // messages that the reader has not got, as far as known
	problem  string                  // why messages wait for a retry; empty: none does
	hubName  string                  // of the stream at the hub
	hubNoted bool                    // this process has written it to the disk
	sent     rateMeter
}

func newCopier(f *Forwarder, cfg *Stream, l *link) *copier {
	return &copier{
		f: f, cfg: cfg, link: l, isData: cfg.Name != contract.StreamFleet, limiter: rate.NewLimiter(rate.Inf, 0),
		selector: newSelector(cfg, f.opts.Volatile), reads: throttle.New(time.Minute),
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		senders: newSenders(), window: map[uint64]*message{}, known: map[string]*hubMessage{},
		latest: map[string]sentMessage{}, hubName: cfg.Name,
	}
}

// signal puts an element into a channel that has room for one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begin prepares for reading the stream: for the first time, again, or from its beginning because it was created
// again. position is that of its consumer. It returns whether only the last message of each subject is read.
func (c *copier) begin(info *jetstream.StreamInfo, position uint64) (catchUp bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := info.State
	kept := c.lineage
	if !c.opened {
		kept = c.f.lineages.get(c.cfg.Name)
	}
	isSame := kept.Created.Equal(info.Created)
	if !c.opened || !isSame || state.LastSeq < c.lastRead {
		c.beginRun(kept, info, min(position, state.LastSeq))
		if !kept.Begun || !isSame { // what was deleted before is not counted
			c.lastRead = max(c.done, state.FirstSeq-min(1, state.FirstSeq))
		}
	}
	behind := state.LastSeq - min(state.LastSeq, c.lastRead)
	c.catching = c.cfg.Catchup == CatchupLast && behind > uint64(maxPending(c.f.cfg.Window))
	return c.catching
}

// beginRun begins a run of the stream behind a position. Messages of an earlier run that have no outcome are still
// forwarded, but not acknowledged: their sequences may be those of other messages now. The mutex must be locked.
func (c *copier) beginRun(kept lineage, info *jetstream.StreamInfo, position uint64) {
	last := info.State.LastSeq
	c.lineage, c.started = kept.next(info.Created, last), last
	c.hubName = cmp.Or(c.lineage.HubStream, c.hubName)
	c.keepLineage()
	for _, earlier := range c.order {
		earlier.ack = nil
	}
	c.done, c.lastRead = position, position
	c.window, c.order, c.opened = map[uint64]*message{}, nil, true
}

// keepLineage writes the lineage to the disk. The mutex must be locked.
func (c *copier) keepLineage() {
	if err := c.f.lineages.put(c.cfg.Name, c.lineage); err != nil {
		c.f.opts.Log.Warn("state of forwarding not kept", "stream", c.cfg.Name, "error", err)
	}
}

// begun notes that the stream has a consumer.
func (c *copier) begun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lineage.Begun {
		c.lineage.Begun = true
		c.keepLineage()
	}
}

// position returns the sequence up to which every message has its outcome.
func (c *copier) position() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// setReader sets the function that ends the reader, nil without a reader, and how many messages it has not read.
func (c *copier) setReader(restart context.CancelCauseFunc, unread uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restart, c.unread = restart, unread
}

// linkUp is called when there is a connection to the hub. Retries need not wait any longer, and after a cut the reader
// may begin again, to read only the last message of each subject.
func (c *copier) linkUp() {
	c.mu.Lock()
	if c.restart != nil && c.cfg.Catchup == CatchupLast && !c.catching && c.unread > uint64(maxPending(c.f.cfg.Window)) {
		c.restart(errCatchUp)
	}
	c.senders.makeReadyFirst(c.retries.TakeAll()) // before what is new on the same subjects, see isStored
	c.mu.Unlock()
	signal(c.wake)
}

// waitForRoom returns when another message may be read.
func (c *copier) waitForRoom(ctx context.Context) error {
	for {
		c.mu.Lock()
		full := c.held >= maxHeld
		c.mu.Unlock()
		if !full {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.room:
		}
	}
}

// receive adds a message that was read to the queue of its sender. One that was read before is not counted again.
func (c *copier) receive(m jetstream.Msg, meta *jetstream.MsgMetadata) {
	sequence := meta.Sequence.Stream
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unread = meta.NumPending
	defer func() { c.catching = c.catching && c.unread > 0 }()
	if read := c.window[sequence]; read != nil && !read.resolved {
		read.ack = m
		return
	}
	if sequence <= c.lastRead { // it has its outcome
		_ = m.Ack() // an error ends the reader, which begins again
		return
	}
	c.ledger.read(sequence - c.lastRead - 1)
	c.lastRead = sequence
	read := c.newMessage(m, meta)
	read.uncertain = sequence <= c.started
	c.held += read.size()
	c.window[sequence] = read
	c.order = append(c.order, read)
	var old []*message
	if c.cfg.Catchup == CatchupLast && (c.catching || !c.link.isUp()) {
		old = c.senders.supersede(read)
	}
	c.senders.push(read)
	for _, replaced := range old {
		c.resolve(replaced, superseded)
	}
	signal(c.wake)
}

// resolve counts the outcome of a message, acknowledges it and moves the position. The mutex must be locked.
func (c *copier) resolve(m *message, o outcome) {
	m.resolved = true
	c.ledger.resolve(o, len(m.data))
	c.held -= m.size()
	m.header, m.data, m.out = nil, nil, nil
	if m.ack != nil {
		_ = m.ack.Ack() // an error ends the reader, which begins again
	}
	for len(c.order) > 0 && c.order[0].resolved {
		c.done = c.order[0].sequence
		delete(c.window, c.done)
		c.order[0] = nil
		c.order = c.order[1:]
	}
	if c.done >= c.started && len(c.known) > 0 {
		clear(c.known)
	}
	signal(c.room)
}

// finish counts the outcome of the first message of a sender, and lets the next one follow.
func (c *copier) finish(m *message, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o == forwarded {
		c.sent.add(m.size(), c.f.opts.Now())
		c.noteLatest(m)
	}
	if o != rejected {
		c.problem = ""
	}
	c.resolve(m, o)
	c.senders.advance(m)
	signal(c.wake)
}

// retry makes the copier publish a message again, later. why is shown while it waits.
func (c *copier) retry(m *message, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.attempts++
	c.problem = why
	c.retries.Add(m, m.attempts, c.f.opts.Now())
}

// reject counts a message that the hub will never store, and keeps a copy here.
func (c *copier) reject(m *message, reason, detail string) {
	c.f.storeReject(c.cfg.Name, m, reason, detail)
	c.finish(m, rejected)
}

// loop returns why a message must not be forwarded: it would come back to where it was. Empty: it may be.
func (c *copier) loop(m *message) string {
	via := strings.Split(m.header.Get(contract.HeaderVia), ",")
	origin, _, _ := contract.CutSite(m.subject)
	hub := c.f.hubSite()
	for _, site := range []string{c.f.opts.Site, hub} {
		if site != "" && (slices.Contains(via, site) || origin == site) {
			return fmt.Sprintf("it was forwarded through %s before, and would be forwarded in a circle", site)
		}
	}
	return ""
}
