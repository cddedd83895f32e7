package adapter

import (
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

const (
	// maxIdle and idleTime are how many peers without pending messages are known, and for how long.
	// A peer's share of the buffer depends on how many others there are.
	maxIdle  = 16 << 10
	idleTime = time.Minute
)

// peerQueues are the messages of all peers. They divide the buffer among the peers, and with turns and
// senderQueues the time of the workers and of the stream. They are guarded by the adapter's mutex.
type peerQueues struct {
	byKey    map[peerKey]*peerQueue
	last     *peerQueue // the last one that was looked up
	idle     peerList   // without pending messages; the one that has been idle for the longest first
	idlers   int        // in idle
	sizes    sizeClasses
	turns    turns
	flooding []*peerQueue // those with dropped messages to report
	ledger   *ledger

	minWeight int64          // of a message: with queue_len, the part of the buffer that each of so many may take
	discard   func(*message) // frees the memory of a message that was pending and is dropped
}

func newPeerQueues(l *ledger, discard func(*message)) *peerQueues {
	p := &peerQueues{byKey: map[peerKey]*peerQueue{}, turns: newTurns(l.maxHeld), ledger: l, discard: discard}
	if l.maxPendingMessages > 0 {
		p.minWeight = l.maxHeld / int64(l.maxPendingMessages)
	}
	return p
}

// get returns the peer with this key, which is new or idle if it has no pending messages.
func (p *peerQueues) get(key peerKey, now time.Time) *peerQueue {
	q := p.last
	if q == nil || q.key != key {
		if q = p.byKey[key]; q == nil {
			key.user, key.name = strings.Clone(key.user), strings.Clone(key.name)
			q = &peerQueue{key: key, credit: quantum}
			p.byKey[key] = q
			p.place(q)
		}
		p.last = q
	}
	q.lastSeen = now
	if q.list == &p.idle { // at its end, it is not forgotten while its message is received
		q.moveTo(nil)
		q.moveTo(&p.idle)
	}
	return q
}

// place moves a peer to the list where it belongs.
func (p *peerQueues) place(q *peerQueue) {
	var list *peerList
	switch {
	case q.arrivals.unstarted() > 0:
		list = p.sizes.of(p.load(q))
	case q.pending == 0:
		list = &p.idle
	}
	if list == q.list {
		return
	}
	if q.list == &p.idle {
		p.idlers--
	}
	q.moveTo(list)
	if list == &p.idle {
		p.idlers++
		p.forgetIdle(time.Time{})
	}
}

// forgetIdle forgets peers that are idle and were last seen before a time, and those beyond maxIdle.
func (p *peerQueues) forgetIdle(before time.Time) {
	for q := p.idle.first; q != nil && (p.idlers > maxIdle || q.lastSeen.Before(before)); q = p.idle.first {
		if p.last == q {
			p.last = nil
		}
		q.moveTo(nil)
		p.idlers--
		delete(p.byKey, q.key)
	}
}

// weight returns what a message counts in the load of its peer.
func (p *peerQueues) weight(held int64) int64 { return max(held, p.minWeight) }

// load returns the weight of all pending messages of a peer.
func (p *peerQueues) load(q *peerQueue) int64 { return max(q.held, int64(q.pending)*p.minWeight) }

// receive counts a received message. It is now pending in its peer's queue, unless there is a reason
// why it is dropped; see admit.
func (p *peerQueues) receive(q *peerQueue, m *message, size int, dropped string) {
	p.ledger.receive(size, dropped)
	switch dropped {
	case "":
		m.queue = q
		q.pending++
		q.held += m.held
		q.arrivals.push(m)
		p.place(q)
		p.turns.join(q)
	case contract.ReasonFlood:
		p.countFlood(q)
	}
}

// startNext marks the next message to convert as started and returns it, or nil if there is none that
// may be converted now.
func (p *peerQueues) startNext() *message {
	if largest := p.sizes.largest(); largest == nil || p.ledger.holdsTooMuch() && !p.floods(largest) {
		return nil
	}
	q := p.turns.next(p.makeRoom)
	if q == nil {
		return nil
	}
	m := q.arrivals.startNext()
	p.turns.start(q, m)
	p.place(q)
	return m
}

// resize sets the bytes that are held for a message that a worker has started on.
func (p *peerQueues) resize(m *message, bytes int64) {
	change := bytes - m.held
	p.ledger.resize(m, bytes)
	m.queue.held += change
	p.place(m.queue)
	p.turns.addTaken(m.queue, change)
}

// release ends the pending state of a message that a worker has started on: it has its outcome.
func (p *peerQueues) release(m *message) {
	q := m.queue
	q.pending--
	q.held -= m.held
	p.turns.addTaken(q, -m.held)
	p.place(q)
}
