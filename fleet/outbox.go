package fleet

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxUnacked is how many events may be on their way to the stream.
	maxUnacked = 512
	// maxWaiting is how many may wait; a stream that takes none for so long costs them.
	maxWaiting = 1_000_000
	// answerWait is how long the stream may take, retryWait the pause before it is tried again.
	answerWait = 5 * time.Second
	retryWait  = time.Second
)

// outbox stores events, each once and those of a node in their order: the next batch
// leaves when all of the one before are stored. What is on its way when the process dies
// is found again by the next one, which knows from the stream what has been told.
type outbox struct {
	js       jetstream.JetStream
	advisory func(e *Event) *nats.Msg // nil: none are wanted
	log      hclog.Logger

	mu      sync.Mutex
	sites   []*Event // wait, in their order; they leave before those of nodes
	nodes   []*Event // wait, in their order
	sending int      // have left and are not stored yet
	stopped bool
	wake    chan struct{}
	quit    chan struct{} // gives up
	empty   chan struct{} // closed when stopped and nothing waits

	stored  atomic.Uint64
	dropped atomic.Uint64
	fault   atomic.Bool
}

func newOutbox(js jetstream.JetStream, advisory func(e *Event) *nats.Msg, log hclog.Logger) *outbox {
	return &outbox{
		js: js, advisory: advisory, log: log,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), empty: make(chan struct{}),
	}
}

// put appends an event to the queue of site events or of node events. It drops and counts the
// event if maxWaiting events wait already.
func (o *outbox) put(e *Event) {
	o.mu.Lock()
	switch {
	case len(o.sites)+len(o.nodes) >= maxWaiting:
		o.dropped.Add(1)
	case e.Node == "":
		o.sites = append(o.sites, e)
	default:
		o.nodes = append(o.nodes, e)
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run sends batch after batch.
func (o *outbox) run() {
	defer close(o.empty)
	for {
		batch, stopped := o.take()
		if len(batch) > 0 && !o.sendAll(batch) {
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
	nodeEvents, left := takeDistinct(o.nodes, maxUnacked-len(siteEvents), func(e *Event) string { return e.Node })
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

// sendAll goes on until every event of the batch is stored, or it is to give up.
func (o *outbox) sendAll(batch []*Event) bool {
	var messages []*nats.Msg
	for _, e := range batch {
		messages = append(messages, o.messages(e)...)
	}
	for {
		var err error
		if messages, err = o.send(messages); len(messages) == 0 {
			o.settle(&o.stored, len(batch))
			if o.fault.Swap(false) {
				o.log.Info("events are stored again")
			}
			return true
		}
		if !o.fault.Swap(true) {
			o.log.Error("events are not stored, and wait", "error", err)
		}
		select {
		case <-o.quit:
			o.settle(&o.dropped, len(batch))
			return false
		case <-time.After(retryWait):
		}
	}
}

// settle counts what has become of the batch that was on its way.
func (o *outbox) settle(as *atomic.Uint64, events int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sending = 0
	as.Add(uint64(events))
}

// messages are what is published of an event.
func (o *outbox) messages(e *Event) []*nats.Msg {
	data, err := json.Marshal(e)
	if err != nil { // a time beyond the year 9999, which nobody lets in
		o.log.Error("event cannot be written", "node", e.Node, "error", err)
		return nil
	}
	messages := []*nats.Msg{message(e.Subject(), e.ID(), data)}
	if o.advisory == nil {
		return messages
	}
	if a := o.advisory(e); a != nil {
		messages = append(messages, a)
	}
	return messages
}

func message(subject, id string, data []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: data, Header: nats.Header{jetstream.MsgIDHeader: {id}}}
}

// send publishes all and gives back those that are not stored, in their order.
func (o *outbox) send(messages []*nats.Msg) (left []*nats.Msg, err error) {
	futures := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		if futures[i], err = o.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0)); err != nil {
			break
		}
	}
	for i, future := range futures {
		if future == nil {
			left = append(left, messages[i])
			continue
		}
		select {
		case <-future.Ok():
		case err = <-future.Err(): // the connection has a time limit for it
			left = append(left, messages[i])
		}
	}
	return left, err
}

// counts are how many events were stored and dropped, and how many wait, those on their
// way among them.
func (o *outbox) counts() (stored, dropped uint64, waiting int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stored.Load(), o.dropped.Load(), len(o.sites) + len(o.nodes) + o.sending
}

// stop lets what waits be stored, as long as the context is not done.
func (o *outbox) stop(ctx context.Context) {
	o.mu.Lock()
	o.stopped = true
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	select {
	case <-o.empty:
	case <-ctx.Done():
	}
	close(o.quit)
}
