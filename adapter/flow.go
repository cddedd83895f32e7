package adapter

// The way of a message, hop by hop. Hops 1 to 10 are steps 3 to 7 of ARCHITECTURE.md:
//
//  1. Received: the input connection calls receiver.Receive, which counts the message in the
//     ledger. If the buffer is full, the message is dropped, or one of a peer that floods: that is
//     its outcome.
//  2. Buffered: peerQueues.receive keeps it in its peer's order of arrival.
//  3. Parsed: a worker (convertMessages) gets it with peerQueues.startNext, which peers take turns
//     at, and convert has internal/choria parse it. Until hop 6 it stays in the queue, to keep its
//     place.
//  4. Verified: verify checks the signature.
//  5. Built: buildStreamMessage makes the stream message. A message that fails in hop 3, 4 or 5
//     carries a reason instead. Either way it is now converted: that is the word for hops 3 to 5.
//  6. Queued per sender: refuseStale sets the reason of a verified message that is a copy of an
//     older one, and queueConverted appends it to its sender's queue, both in its peer's order of
//     arrival. A message with a reason is rejected: its outcome is counted here, and it goes to
//     hop 10.
//  7. Published: takePublishable takes the messages whose turn it is, and publish hands each
//     to publisher.publish, which writes it to its transport: localConn or remote.
//  8. Acked: the transport receives the stream's ack and calls publisher.ackReceived, which
//     calls handleAck. A publish without an ack ends in handleAck too (publisher.expire,
//     publisher.failAll).
//  9. Outcome counted: applyAck counts the message as stored, duplicate or rejected, and
//     frees its sender's queue for hop 7. If a later attempt may succeed, the message waits
//     in retries instead, and watch brings it back to hop 7.
// 10. Copied, if rejected: storeReject publishes a copy to MUSTER_REJECTED, at most once.

import (
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/puback"
)

// maxUnacked and maxUnackedBytes are how many messages may be published and not yet acknowledged, and
// how many bytes they may have; the others wait in their sender queues. The stream's own queue is
// bounded too, and answers "too many requests" beyond its bound.
const (
	maxUnacked      = 1024
	maxUnackedBytes = 32 << 20
)

// maxSubject is the longest subject, in bytes, on which a message is accepted. It has room for the
// topic of an adapter and an identity of 255 bytes. A message that waits keeps its subject, so a
// longer one would take memory that the buffer does not count.
const maxSubject = 512

// receiver is the inproc.Receiver of the input connection.
type receiver struct {
	a       *Adapter
	dropped string // why Memory returned nil for the message that Receive gets next
}

// Memory returns memory for a peer's message of size bytes, or nil to discard its data: the buffer is
// full.
func (r *receiver) Memory(size int, from inproc.Peer) []byte {
	a, key := r.a, keyOf(r.a.peer(from))
	a.mu.Lock()
	r.dropped = a.peers.admit(a.peers.get(key, a.opts.Now()), size)
	a.mu.Unlock()
	if r.dropped != "" {
		return nil
	}
	return a.rawPool.get(size)
}

// Receive counts a message and queues it, or drops it. It never waits.
func (r *receiver) Receive(in inproc.Message) {
	a := r.a
	m := &message{
		subject: in.Subject, peer: a.peer(in.Peer), raw: in.Data, received: a.opts.Now(), held: heldFor(in.Size),
	}
	if len(m.subject) > maxSubject {
		m.rejectSubject()
	}
	a.mu.Lock()
	q := a.peers.get(keyOf(m.peer), m.received)
	if in.Data != nil {
		r.dropped = a.peers.admit(q, in.Size) // a conversion may have used up the room
	}
	a.peers.receive(q, m, in.Size, r.dropped)
	a.workerWake.Signal()
	a.mu.Unlock()
}

// convertMessages is a worker: it converts one message after the other until the adapter stops.
func (a *Adapter) convertMessages() {
	var parser choria.Parser
	for {
		m := a.waitUnconverted()
		if m == nil {
			return
		}
		start := a.opts.Now()
		a.convert(m, &parser)
		a.queueConverted(m, a.opts.Now().Sub(start))
	}
}

// waitUnconverted waits for a message to convert; it returns nil once the adapter has stopped.
func (a *Adapter) waitUnconverted() *message {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.peers.startNext()
	for m == nil && a.phase != stopped {
		a.workerWake.Wait()
		m = a.peers.startNext()
	}
	return m
}

// queueConverted records that m was converted in took, moves the converted messages at the head of
// its peer's queue to their sender queues, and publishes.
func (a *Adapter) queueConverted(m *message, took time.Duration) {
	a.mu.Lock()
	if a.phase == stopped { // the message was counted as dropped
		a.mu.Unlock()
		return
	}
	a.ledger.stats.ConvertTime += took
	a.ledger.stats.Converted++
	a.peers.turns.finish(m, took)
	if m.out != nil {
		a.peers.resize(m, m.held+int64(len(m.out.bytes)))
	}
	m.converted = true
	rejects := a.moveConverted(m.queue)
	ready := a.takePublishable()
	a.mu.Unlock()
	for _, m := range rejects {
		a.storeReject(m)
	}
	a.publish(ready)
}

// moveConverted empties the converted head of a peer's queue into the sender queues and returns the
// messages that are rejected. The mutex is held.
func (a *Adapter) moveConverted(q *peerQueue) (rejects []*message) {
	for m := q.arrivals.popConverted(); m != nil; m = q.arrivals.popConverted() {
		if m.reason == "" {
			a.refuseStale(m)
		}
		if m.reason == "" {
			q.rememberSender(m)
			a.senders.push(m)
			continue
		}
		a.peers.turns.addQueued(q, -1, -1)
		a.countReject(m)
		rejects = append(rejects, m)
	}
	return rejects
}

// takePublishable takes from the sender queues what may be published now, and counts it as
// unacknowledged. The mutex is held.
func (a *Adapter) takePublishable() []*message {
	var ready []*message
	for a.phase != stopped {
		m := a.senders.takeReady()
		if m == nil {
			break
		}
		m.attempts++
		m.publishedAt = a.opts.Now()
		ready = append(ready, m)
	}
	a.workerWake.Signal() // there may be room for a conversion
	return ready
}

// publish publishes messages without the mutex. No two of them have the same sender, and messages
// of different senders may be published in any order. Messages that become publishable during the
// loop are published too.
func (a *Adapter) publish(messages []*message) {
	for len(messages) > 0 {
		m := messages[0]
		messages = messages[1:]
		err := a.streamPublisher.publish(m.out, m.publishedAt, func(ack puback.Ack) { a.publish(a.handleAck(m, ack)) })
		if err != nil {
			messages = append(messages, a.handleAck(m, puback.Ack{Err: err})...)
		}
	}
}

// handleAck applies an ack, or the lack of one, to a message. It returns the messages that may be
// published next.
func (a *Adapter) handleAck(m *message, ack puback.Ack) []*message {
	a.mu.Lock()
	if a.phase == stopped { // the message was counted as dropped
		a.mu.Unlock()
		return nil
	}
	a.senders.acked(m)
	a.ledger.stats.PublishTime += a.opts.Now().Sub(m.publishedAt)
	a.ledger.stats.Published++
	rejected := a.applyAck(m, ack)
	a.checkIdle()
	ready := a.takePublishable()
	a.mu.Unlock()
	if rejected {
		a.storeReject(m)
	}
	return ready
}

// applyAck counts the outcome of a message, or schedules a retry. It reports whether the message is
// rejected. The mutex is held.
func (a *Adapter) applyAck(m *message, ack puback.Ack) (rejected bool) {
	switch {
	case ack.Retryable():
		a.fault = ack.Detail()
		a.ledger.stats.Retries++
		a.retries.Add(m, m.attempts, a.opts.Now())
		a.senders.suspend(m)
		return false
	case ack.InStream() && ack.Duplicate && m.attempts == 1:
		a.ledger.countDuplicate(m)
		a.peers.release(m)
		a.recycle(m)
	case ack.InStream(): // also if it is the duplicate of an earlier attempt
		a.fault = ""
		a.ledger.countStored(m)
		a.peers.release(m)
		a.recycle(m)
	default:
		rejected = true
		m.reason, m.detail = ack.Reason(), ack.Detail()
		a.countReject(m)
	}
	a.senders.advance(m)
	return rejected
}

// countReject counts a message as rejected; storeReject must follow. The mutex is held.
func (a *Adapter) countReject(m *message) {
	a.ledger.countRejected(m, m.reason)
	a.peers.release(m)
	a.unackedRejects++
}

// recycle frees the memory of a message for the next one. Nothing refers to it any more: it was not
// published, or the transport has copied it.
func (a *Adapter) recycle(m *message) {
	a.rawPool.put(m.raw)
	if m.out != nil {
		a.outPool.put(m.out.bytes)
	}
	m.raw, m.out = nil, nil
}
