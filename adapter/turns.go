package adapter

import "time"

const (
	// quantum is how much of the workers' time a peer may take in one turn.
	quantum = 100 * time.Microsecond
	// maxCost bounds what the conversion of one message is taken for, because a stopped process or a
	// busy machine lengthens it too.
	maxCost = 100 * quantum
	// costPerByte is added for each received byte, for all that is not measured.
	costPerByte = time.Nanosecond
)

// turns decides which peer's message is converted next, so that peers that send more than can be
// converted share the time of the workers equally: deficit round robin. In its turn a peer takes
// workers until its credit is used up. A message that took more than that makes a debt: the peer
// misses turns. The time of a conversion is known only afterwards; until then it is taken for that of
// the one before.
//
// A peer is in the list while it has messages that no worker has started on, unless it is parked: it
// has converted so much that is not published yet, or takes so much of the buffer with it, that the
// rest of its messages must wait as they were received.
type turns struct {
	list  fifo[*peerQueue]
	ready quota // messages in conversion, or ready to be published
	taken quota // bytes of messages that workers have started on and that have no outcome
}

func newTurns(maxHeld int64) turns {
	return turns{ready: quota{limit: maxReady}, taken: quota{limit: maxHeld}}
}

// join gives a peer its place in the list, if it has a message to convert.
func (t *turns) join(q *peerQueue) {
	if !q.hasTurn && !q.parked && q.arrivals.unstarted() > 0 {
		q.hasTurn = true
		t.list.push(q)
	}
}

// next returns the peer whose turn it is, or nil if no peer may convert. hasRoom reports whether there
// is room for the output of a peer's message.
func (t *turns) next(hasRoom func(*peerQueue) bool) *peerQueue {
	if t.ready.exhausted() || t.taken.exhausted() {
		return nil
	}
	for skipped := 0; skipped < t.list.count; {
		q := *t.list.at(0)
		switch {
		case q.arrivals.unstarted() == 0:
			t.leave()
		case t.ready.full(q.queued) || t.taken.full(q.taken):
			t.leave()
			q.parked = true
		case q.credit <= 0:
			q.credit += quantum
			t.list.push(t.list.pop())
			skipped = 0
		case !hasRoom(q):
			t.list.push(t.list.pop())
			skipped++
		default:
			return q
		}
	}
	return nil
}

// leave removes the first peer from the list.
func (t *turns) leave() { t.list.pop().hasTurn = false }

// start counts a message that a worker starts on, and charges its peer for it.
func (t *turns) start(q *peerQueue, m *message) {
	q.queued++
	t.ready.used++
	t.addTaken(q, m.held)
	m.charged = q.cost + costPerByte*time.Duration(len(m.raw))
	q.credit -= m.charged
}

// finish corrects the charge for a message whose conversion took so long.
func (t *turns) finish(m *message, took time.Duration) {
	q := m.queue
	q.cost = min(max(took, 0), maxCost)
	q.credit = min(q.credit+m.charged-q.cost-costPerByte*time.Duration(len(m.raw)), quantum)
}

// addTaken changes the bytes that a peer takes with messages that workers have started on.
func (t *turns) addTaken(q *peerQueue, bytes int64) {
	q.taken += bytes
	t.taken.used += bytes
	t.unpark(q)
}

// addQueued changes how many of a peer's messages are queued, and how many are ready.
func (t *turns) addQueued(q *peerQueue, queued, ready int64) {
	q.queued += queued
	t.ready.used += ready
	t.unpark(q)
}

// unpark lets a peer convert again once it has published enough.
func (t *turns) unpark(q *peerQueue) {
	if q.parked && t.ready.free(q.queued) && t.taken.free(q.taken) {
		q.parked = false
		t.join(q)
	}
}
