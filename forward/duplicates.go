package forward

import (
	"errors"
	"fmt"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/puback"
	"github.com/nats-io/nats.go/jetstream"
)

// directGet begins the subjects on which a stream returns the last message of a subject. See
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md.
const directGet = contract.PrefixAPI + "DIRECT.GET."

// statusNotFound is the status of the answer if the stream has no message on the subject.
const statusNotFound = "404"

// hubMessage is the last message that the hub has on a subject.
type hubMessage struct {
	id     string
	source source
}

// ask asks the hub for its last message on the subject of m.
func (c *copier) ask(m *message) {
	c.mu.Lock()
	subject := directGet + c.hubName + "." + m.target
	c.mu.Unlock()
	if err := c.link.request(subject, nil, nil, func(r reply) { c.answered(m, r) }); err != nil {
		c.release(m, 0)
		c.retry(m, err.Error())
	}
}

// answered handles the hub's answer to ask.
func (c *copier) answered(m *message, r reply) {
	c.release(m, r.took)
	switch {
	case r.err != nil:
		c.retry(m, c.explain(puback.Ack{Err: r.err}))
		return
	case r.status == statusNotFound:
		m.last = nil
	case r.status != "":
		m.asked++
		c.retry(m, fmt.Sprintf("the hub does not return the last message on %s: status %s", m.target, r.status))
		return
	default:
		m.last = &hubMessage{id: r.header.Get(jetstream.MsgIDHeader)}
		m.last.source, _ = parseSource(r.header.Get(contract.HeaderSource))
	}
	m.answered = true
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.sequence <= c.started {
		c.known[m.target] = m.last
	}
	c.senders.makeReady(m)
	signal(c.wake)
}

// lastAtHub returns the last message that the hub has on the subject of m; known is false if the hub must be asked.
func (c *copier) lastAtHub(m *message) (last *hubMessage, known bool) {
	if m.answered || m.published {
		return m.last, m.answered
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	last, known = c.known[m.target]
	return last, known
}

// isStored reports whether the hub has stored m, or had when it stored its last message on the subject.
func (c *copier) isStored(m *message, last *hubMessage) bool {
	if last == nil {
		return false
	}
	if last.id == c.messageID(m) {
		return true
	}
	c.mu.Lock()
	known := c.lineage
	c.mu.Unlock()
	return m.alone && known.precedes(m.sequence, m.stored, last.source)
}

// storedBefore returns the outcome of a message that the hub has already.
func storedBefore(m *message) outcome {
	if m.published {
		return forwarded
	}
	return duplicate
}

// explain returns why there is no ack, for operators.
func (c *copier) explain(ack puback.Ack) string {
	switch {
	case errors.Is(ack.Err, puback.ErrNoResponders):
		return "no stream at the hub stores what this site forwards from " + c.cfg.Name
	case ack.Err != nil:
		if _, _, lastErr := c.link.status(); lastErr != "" {
			return lastErr
		}
		return ack.Err.Error()
	default:
		return ack.Detail()
	}
}

// noteHubStream keeps the name of the stream at the hub, as acks have it.
func (c *copier) noteHubStream(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hubName = name
}
