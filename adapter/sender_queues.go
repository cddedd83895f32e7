package adapter

// senderQueues keep the order of each sender: only the first message of a sender is published,
// the later ones wait until it has its outcome. Senders do not wait for each other. They are
// guarded by the adapter's mutex.
type senderQueues struct {
	active    map[string]*senderQueue // by sender; only senders with a message that has no outcome
	ready     []*message              // the first of their senders, to be published next
	waiting   int                     // messages that wait in queues that are not suspended
	throttled bool                    // maxReady was reached, and minReady not since
}

// senderQueue is what waits behind the first message of a sender.
type senderQueue struct {
	waiting   []*message
	suspended bool // the first message waits for a retry
}

// Parsing pauses when maxReady messages are ready or waiting, and goes on at minReady.
const (
	maxReady = 2 * maxUnacked
	minReady = maxUnacked
)

func newSenderQueues() *senderQueues {
	return &senderQueues{active: map[string]*senderQueue{}}
}

// push appends a message to the queue of its sender.
func (q *senderQueues) push(m *message) {
	if own := q.active[m.sender]; own != nil {
		own.waiting = append(own.waiting, m)
		if !own.suspended {
			q.waiting++
		}
		return
	}
	q.active[m.sender] = &senderQueue{}
	q.ready = append(q.ready, m)
}

// next takes a message to publish; nil if none is ready.
func (q *senderQueues) next() *message {
	if len(q.ready) == 0 {
		return nil
	}
	m := q.ready[0]
	q.ready[0] = nil
	q.ready = q.ready[1:]
	return m
}

// advance makes the next message of a sender ready: the first has its outcome.
func (q *senderQueues) advance(sender string) {
	own := q.active[sender]
	if len(own.waiting) == 0 {
		delete(q.active, sender)
		return
	}
	q.waiting--
	q.ready = append(q.ready, own.waiting[0])
	own.waiting[0] = nil
	own.waiting = own.waiting[1:]
}

// suspend pauses the queue of a message that was published and waits for a retry.
func (q *senderQueues) suspend(m *message) {
	own := q.active[m.sender]
	own.suspended = true
	q.waiting -= len(own.waiting)
}

// resume makes a message ready whose retry is due.
func (q *senderQueues) resume(m *message) {
	own := q.active[m.sender]
	own.suspended = false
	q.waiting += len(own.waiting)
	q.ready = append(q.ready, m)
}

// wantsMore reports whether it is of use to parse more messages. Messages in suspended queues do
// not count: a sender whose message cannot be stored must not hold up the others.
func (q *senderQueues) wantsMore() bool {
	switch n := len(q.ready) + q.waiting; {
	case n >= maxReady:
		q.throttled = true
	case n <= minReady:
		q.throttled = false
	}
	return !q.throttled
}
