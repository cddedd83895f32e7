package adapter

import (
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/inproc"
)

// inFlight is how many messages may be unanswered; the others wait in their lanes. The
// stream's own queue is bounded too, and answers "too many requests" beyond its bound.
const inFlight = 1024

// Buffer gives the connection where to read a message of that size to, or nil: it reads over it.
func (a *Adapter) Buffer(size int) []byte {
	a.mu.Lock()
	room := a.ledger.room(size)
	a.mu.Unlock()
	if !room {
		return nil
	}
	return a.raws.get(size)
}

// Receive is called by the connection for every message. It never waits: there is room, or there
// is not.
func (a *Adapter) Receive(come inproc.Message) {
	m := &message{subject: come.Subject, raw: come.Data, received: a.now(), held: heldFor(come.Size)}
	a.mu.Lock()
	if a.ledger.receive(come.Size, come.Data != nil) {
		a.queue.put(m)
		a.work.Signal()
	}
	a.mu.Unlock()
}

// parseMessages is a worker: it takes messages until none will come any more.
func (a *Adapter) parseMessages() {
	var parser choria.Parser
	for {
		a.mu.Lock()
		m := a.takeNext()
		for m == nil && !a.stopped {
			a.work.Wait()
			m = a.takeNext()
		}
		a.mu.Unlock()
		if m == nil {
			return
		}
		start := a.now()
		a.convert(m, &parser)
		a.parsed(m, a.now().Sub(start))
	}
}

// takeNext is the next message to parse, if there is one and it would be of use: while
// there is room for what it unpacks to, and not yet enough to send. In a burst messages so
// wait as they came, which takes the least memory. The mutex is held.
func (a *Adapter) takeNext() *message {
	if a.ledger.full() || !a.lanes.hungry() {
		return nil
	}
	return a.queue.take()
}

// parsed lets everything leave the queue that is parsed and has nothing before it.
func (a *Adapter) parsed(m *message, took time.Duration) {
	var rejected []*message
	a.mu.Lock()
	if a.stopped { // it has been counted as dropped
		a.mu.Unlock()
		return
	}
	a.ledger.stats.ParseTime += took
	a.ledger.stats.Parsed++
	if m.out != nil {
		a.ledger.hold(m, m.held+int64(len(m.out.text)))
	}
	m.parsed = true
	for m := a.queue.leave(); m != nil; m = a.queue.leave() {
		if m.reason != "" {
			a.reject(m)
			a.work.Signal()
			rejected = append(rejected, m)
			continue
		}
		a.lanes.enter(m)
	}
	send := a.sendable()
	a.mu.Unlock()
	for _, m := range rejected {
		a.record(m)
	}
	a.send(send)
}

// sendable takes from the lanes what may be sent now. The mutex is held.
func (a *Adapter) sendable() []*message {
	var send []*message
	for a.sent < inFlight && !a.stopped {
		m := a.lanes.next()
		if m == nil {
			break
		}
		a.sent++
		m.tries++
		m.sent = a.now()
		send = append(send, m)
	}
	if a.lanes.hungry() {
		a.work.Signal()
	}
	return send
}

// send publishes without the mutex: only one message of a sender is among them, and the
// order between senders is free.
func (a *Adapter) send(messages []*message) {
	for len(messages) > 0 {
		m := messages[0]
		messages = messages[1:]
		err := a.out.send(m.out, m.sent, func(answer answer) { a.send(a.verdict(m, answer)) })
		if err != nil {
			messages = append(messages, a.verdict(m, answer{err: err})...)
		}
	}
}

// verdict is what the stream's answer, or that there was none, means for a message. It
// gives back what may be sent next.
func (a *Adapter) verdict(m *message, answer answer) []*message {
	a.mu.Lock()
	if a.stopped { // it has been counted as dropped
		a.mu.Unlock()
		return nil
	}
	rejected := a.settle(m, answer)
	a.checkIdle()
	send := a.sendable()
	a.mu.Unlock()
	if rejected {
		a.record(m)
	}
	return send
}

// settle counts the answer, and tells whether it rejects the message. The mutex is held.
func (a *Adapter) settle(m *message, answer answer) (rejected bool) {
	a.sent--
	a.ledger.stats.PublishTime += a.now().Sub(m.sent)
	a.ledger.stats.Answered++
	switch {
	case answer.retry():
		a.fault = answer.detail()
		a.ledger.stats.Retries++
		a.retries.add(m, a.now())
		a.lanes.hold(m)
		return false
	case answer.stored() && answer.Duplicate && m.tries == 1:
		a.ledger.duplicate(m)
		a.recycle(m)
	case answer.stored(): // also where our own retry was the duplicate
		a.fault = ""
		a.ledger.store(m)
		a.recycle(m)
	default:
		rejected = true
		m.reason, m.detail = answer.reason(), answer.detail()
		a.reject(m)
	}
	a.lanes.leave(m.sender)
	a.work.Signal() // there may be room again
	return rejected
}

// reject is the verdict on a message that is to be recorded next. The mutex is held.
func (a *Adapter) reject(m *message) {
	a.ledger.reject(m, m.reason)
	a.recording++
}

// checkIdle wakes Close once there is nothing left to wait for. The mutex is held.
func (a *Adapter) checkIdle() {
	if a.drained && a.ledger.stats.Pending == 0 && a.recording == 0 {
		select {
		case <-a.idle:
		default:
			close(a.idle)
		}
	}
}
