package fleet

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxUnacked is how many events may be published and not yet acknowledged: one batch.
	maxUnacked = 512
	// maxWaiting is how many events may wait for the stream at most, and one for each waitingMemory of
	// memory; further ones are dropped.
	maxWaiting    = 1_000_000
	waitingMemory = 4 << 10
	// ackTimeout is how long the stream may take to acknowledge an event.
	ackTimeout = 5 * time.Second
	// retryDelay is the pause before the rest of a batch is published again.
	retryDelay = time.Second
)

// outbox stores events, the events of one node and of one site in their order. It publishes one
// batch at a time: the next only when every event of the last one is stored. If the process
// dies, the next process derives the events that were not stored from what the stream has; the
// ID of an event keeps it from being stored twice.
type outbox struct {
	js  jetstream.JetStream
	log hclog.Logger
	// advisory returns the advisory of an event, nil if the event has none. The function itself
	// is nil if advisories are disabled.
	advisory func(e *Event) *nats.Msg
	prefix   func(subject string) string // what precedes a subject; nil: nothing
	limit    int                         // events that may wait

	mu      sync.Mutex
	sites   []*Event // waiting events of sites, in order; they leave before those of nodes
	nodes   []*Event // waiting events of nodes, in order
	sending int      // events of the current batch
	stopped bool

	wake chan struct{} // has an element when run must look at the queues again
	quit chan struct{} // closed when run must give up
	done chan struct{} // closed when run has ended

	stored  atomic.Uint64
	dropped atomic.Uint64
	failing atomic.Bool // the last attempt to store a batch failed
}

func newOutbox(js jetstream.JetStream, advisory func(e *Event) *nats.Msg, log hclog.Logger) *outbox {
	return &outbox{
		js: js, advisory: advisory, log: log, limit: maxWaiting,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// put appends an event to the queue of site events or of node events. It drops and counts the
// event if as many events wait already as may.
func (o *outbox) put(e *Event) {
	o.mu.Lock()
	switch {
	case len(o.sites)+len(o.nodes) >= o.limit:
		o.dropped.Add(1)
	case e.Node == "":
		o.sites = append(o.sites, e)
	default:
		o.nodes = append(o.nodes, e)
	}
	o.mu.Unlock()
	o.wakeUp()
}

func (o *outbox) wakeUp() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run stores batch after batch, until the outbox is stopped and empty, or must give up.
func (o *outbox) run() {
	defer close(o.done)
	for {
		batch, stopped := o.take()
		if len(batch) > 0 && !o.store(batch) {
			return
		}
		if len(batch) > 0 {
			continue
		}
		if stopped {
			return
		}
		select {
		case <-o.wake:
		case <-o.quit:
			return
		}
	}
}

// take removes the next batch from the queues: site events first, then node events, at most
// maxUnacked together. A batch has at most one event of each site and of each node, because
// the events of a batch may be stored in any order.
func (o *outbox) take() (batch []*Event, stopped bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	siteEvents, left := takeDistinct(o.sites, maxUnacked, func(e *Event) string { return e.Site })
	o.sites = left
	node := func(e *Event) string { return e.Site + "/" + e.Node }
	nodeEvents, left := takeDistinct(o.nodes, maxUnacked-len(siteEvents), node)
	o.nodes = left
	batch = slices.Concat(siteEvents, nodeEvents)
	o.sending = len(batch)
	return batch, o.stopped
}

// takeDistinct splits off the longest beginning of a queue that has at most limit events and
// no key twice. An empty rest is nil, so that its memory is freed.
func takeDistinct(queue []*Event, limit int, key func(*Event) string) (taken, left []*Event) {
	seen := map[string]bool{}
	n := 0
	for n < min(limit, len(queue)) && !seen[key(queue[n])] {
		seen[key(queue[n])] = true
		n++
	}
	if n == len(queue) {
		return queue, nil
	}
	return queue[:n], queue[n:]
}

// store retries until every event of the batch is stored. It returns false if it had to give
// up; the whole batch is then counted as dropped.
func (o *outbox) store(batch []*Event) bool {
	var unstored []*nats.Msg
	for _, e := range batch {
		unstored = append(unstored, o.messages(e)...)
	}
	for {
		var err error
		if unstored, err = o.publish(unstored); len(unstored) == 0 {
			o.finish(&o.stored, len(batch))
			if o.failing.Swap(false) {
				o.log.Info("events are stored again")
			}
			return true
		}
		if !o.failing.Swap(true) {
			o.log.Error("events not stored; they wait and are retried", "error", err)
		}
		select {
		case <-o.quit:
			o.finish(&o.dropped, len(batch))
			return false
		case <-time.After(retryDelay):
		}
	}
}

// finish ends the current batch and adds its events to a counter.
func (o *outbox) finish(counter *atomic.Uint64, events int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sending = 0
	counter.Add(uint64(events))
}

// messages returns the messages to publish for an event: the event and its advisory, if any.
func (o *outbox) messages(e *Event) []*nats.Msg {
	data, err := json.Marshal(e)
	if err != nil { // a time after the year 9999, which adapters and the broker do not pass on
		o.log.Error("event cannot be encoded", "node", e.Node, "error", err)
		return nil
	}
	messages := []*nats.Msg{newMessage(e.Subject(), e.ID(), data)}
	if e.correction != nil {
		m := messages[0]
		m.Subject = contract.SiteSubject(e.Site, m.Subject)
		m.Header.Set(contract.HeaderSource, e.correction.source.header(e.Site, e.Since))
	} else if o.advisory != nil {
		if a := o.advisory(e); a != nil {
			messages = append(messages, a)
		}
	}
	if o.prefix != nil {
		for _, m := range messages {
			m.Subject = o.prefix(m.Subject) + m.Subject
		}
	}
	return messages
}

func newMessage(subject, id string, data []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{jetstream.MsgIDHeader: {id}}}
}

// publish publishes all messages and waits for their acks. It returns the messages that were
// not stored, in their order, with one of the errors.
func (o *outbox) publish(messages []*nats.Msg) (unstored []*nats.Msg, err error) {
	acks := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		if acks[i], err = o.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0)); err != nil {
			break
		}
	}
	for i, ack := range acks {
		if ack == nil {
			unstored = append(unstored, messages[i])
			continue
		}
		select {
		case <-ack.Ok():
		case err = <-ack.Err(): // at the latest after ackTimeout
			unstored = append(unstored, messages[i])
		case <-o.quit: // the caller gives up
			unstored = append(unstored, messages[i])
		}
	}
	return unstored, err
}

// counts returns how many events were stored, were dropped, and wait, including the current
// batch.
func (o *outbox) counts() (stored, dropped uint64, waiting int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stored.Load(), o.dropped.Load(), len(o.sites) + len(o.nodes) + o.sending
}

// stop waits until the waiting events are stored or ctx is done, and makes run end. Call it
// once.
func (o *outbox) stop(ctx context.Context) {
	o.mu.Lock()
	o.stopped = true
	o.mu.Unlock()
	o.wakeUp()
	select {
	case <-o.done:
	case <-ctx.Done():
	}
	close(o.quit)
}
