package adapter

// The way of a message, hop by hop. Hops 1 to 10 are steps 3 to 7 of ARCHITECTURE.md:
//
//  1. Received: the input connection calls receiver.Receive, which counts the message in the
//     ledger. If the buffer is full, the message is dropped: that is its outcome.
//  2. Buffered: queue.push keeps it in the order of arrival.
//  3. Parsed: a worker (convertMessages) gets it with queue.startNext, and convert has
//     internal/choria parse it. Until hop 6 it stays in the queue, to keep its place.
//  4. Verified: verify checks the signature.
//  5. Built: buildStreamMessage makes the stream message. A message that fails in hop 3, 4 or 5
//     carries a reason instead. Either way it is now converted: that is the word for hops 3 to 5.
//  6. Queued per sender: refuseStale sets the reason of a verified message that is a copy of an
//     older one, and queueConverted appends it to its sender's queue, both in the order of
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
)

// maxUnacked is how many messages may be published and not yet acknowledged; the others wait in
// their sender queues. The stream's own queue is bounded too, and answers "too many requests"
// beyond its bound.
const maxUnacked = 1024

// maxSubject is the longest subject, in bytes, on which a message is accepted. It has room for the
// topic of an adapter and an identity of 255 bytes. A message that waits keeps its subject, so a
// longer one would take memory that the buffer does not count.
const maxSubject = 512

// receiver is the inproc.Receiver of the input connection.
type receiver struct{ a *Adapter }

// Memory returns memory for a message of size bytes, or nil to discard its data: the buffer is
// full.
func (r receiver) Memory(size int) []byte {
	r.a.mu.Lock()
	room := r.a.ledger.hasRoom(size)
	r.a.mu.Unlock()
	if !room {
		return nil
	}
	return r.a.rawPool.get(size)
}

// Receive counts a message and queues it, or drops it. It never waits.
func (r receiver) Receive(in inproc.Message) {
	a := r.a
	m := &message{
		subject: in.Subject, peer: a.peer(in.Peer), raw: in.Data, received: a.opts.Now(), held: heldFor(in.Size),
	}
	if len(m.subject) > maxSubject {
		m.rejectSubject()
	}
	a.mu.Lock()
	if a.ledger.receive(in.Size, in.Data != nil) {
		a.queue.push(m)
		a.workerWake.Signal()
	}
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
	m := a.startConversion()
	for m == nil && a.phase != stopped {
		a.workerWake.Wait()
		m = a.startConversion()
	}
	return m
}

// startConversion returns the next message to convert, or nil if there is none. It also returns nil
// while maxReady messages wait to be published, or while more bytes are held than allowed: in a
// burst messages wait as they were received, which takes the least memory. The mutex is held.
func (a *Adapter) startConversion() *message {
	if a.ledger.holdsTooMuch() || !a.senders.shouldConvert() {
		return nil
	}
	return a.queue.startNext()
}

// queueConverted records that m was converted in took, moves the converted messages at the head of
// the queue to their sender queues, and publishes.
func (a *Adapter) queueConverted(m *message, took time.Duration) {
	a.mu.Lock()
	if a.phase == stopped { // the message was counted as dropped
		a.mu.Unlock()
		return
	}
	a.ledger.stats.ConvertTime += took
	a.ledger.stats.Converted++
	if m.out != nil {
		a.ledger.resize(m, m.held+int64(len(m.out.bytes)))
	}
	m.converted = true
	rejects := a.moveConverted()
	ready := a.takePublishable()
	a.mu.Unlock()
	for _, m := range rejects {
		a.storeReject(m)
	}
	a.publish(ready)
}

// moveConverted empties the converted head of the queue into the sender queues and returns the
// messages that are rejected. The mutex is held.
func (a *Adapter) moveConverted() (rejects []*message) {
	for m := a.queue.popConverted(); m != nil; m = a.queue.popConverted() {
		if m.reason == "" {
			a.refuseStale(m)
		}
		if m.reason == "" {
			a.senders.push(m)
			continue
		}
		a.countReject(m)
		a.workerWake.Signal() // there may be room again
		rejects = append(rejects, m)
	}
	return rejects
}

// takePublishable takes from the sender queues what may be published now, and counts it as
// unacknowledged. The mutex is held.
func (a *Adapter) takePublishable() []*message {
	var ready []*message
	for a.unacked < maxUnacked && a.phase != stopped {
		m := a.senders.takeReady()
		if m == nil {
			break
		}
		a.unacked++
		m.attempts++
		m.publishedAt = a.opts.Now()
		ready = append(ready, m)
	}
	if a.senders.shouldConvert() {
		a.workerWake.Signal()
	}
	return ready
}

// publish publishes messages without the mutex. No two of them have the same sender, and messages
// of different senders may be published in any order. Messages that become publishable during the
// loop are published too.
func (a *Adapter) publish(messages []*message) {
	for len(messages) > 0 {
		m := messages[0]
		messages = messages[1:]
		err := a.streamPublisher.publish(m.out, m.publishedAt, func(ack pubAck) { a.publish(a.handleAck(m, ack)) })
		if err != nil {
			messages = append(messages, a.handleAck(m, pubAck{err: err})...)
		}
	}
}

// handleAck applies an ack, or the lack of one, to a message. It returns the messages that may be
// published next.
func (a *Adapter) handleAck(m *message, ack pubAck) []*message {
	a.mu.Lock()
	if a.phase == stopped { // the message was counted as dropped
		a.mu.Unlock()
		return nil
	}
	a.unacked--
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
func (a *Adapter) applyAck(m *message, ack pubAck) (rejected bool) {
	switch {
	case ack.retryable():
		a.fault = ack.detail()
		a.ledger.stats.Retries++
		a.retries.add(m, a.opts.Now())
		a.senders.suspend(m)
		return false
	case ack.inStream() && ack.Duplicate && m.attempts == 1:
		a.ledger.countDuplicate(m)
		a.recycle(m)
	case ack.inStream(): // also if it is the duplicate of an earlier attempt
		a.fault = ""
		a.ledger.countStored(m)
		a.recycle(m)
	default:
		rejected = true
		m.reason, m.detail = ack.reason(), ack.detail()
		a.countReject(m)
	}
	a.senders.advance(m.sender)
	a.workerWake.Signal() // there may be room again
	return rejected
}

// countReject counts a message as rejected; storeReject must follow. The mutex is held.
func (a *Adapter) countReject(m *message) {
	a.ledger.countRejected(m, m.reason)
	a.unackedRejects++
}

// recycle frees the memory of a stored message for the next one. Nothing refers to it any more:
// transports copy what they publish.
func (a *Adapter) recycle(m *message) {
	a.rawPool.put(m.raw)
	a.outPool.put(m.out.bytes)
	m.raw, m.out = nil, nil
}
