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
	case c.notPermitted(m, r.err):
		return
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
	defer c.mu.Unlock()
	if m.alone {
		return c.lineage.precedes(m.sequence, m.stored, last.source)
	}
	return m.published && c.sentBefore(m, last.id)
}

// sentMessage is a message that the hub has stored, and where it was published.
type sentMessage struct {
	id   string
	sent place
}

// maxLatest is how many subjects of several senders are remembered.
const maxLatest = 10_000

// noteLatest remembers m as the last message that the hub stored on a subject of several senders. The mutex must be
// locked.
func (c *copier) noteLatest(m *message) {
	if m.alone {
		return
	}
	if len(c.latest) >= maxLatest {
		clear(c.latest)
	}
	if c.latest[m.target].sent.number < m.sent.number {
		c.latest[m.target] = sentMessage{c.messageID(m), m.sent}
	}
}

// sentBefore reports whether m was published before the message with that id, over the same connection: then the hub
// has it too. Messages of several senders on one subject are not published in the order of their sequences. The
// mutex must be locked.
func (c *copier) sentBefore(m *message, id string) bool {
	before := func(sent place) bool {
		return sent.connection == m.sent.connection && m.sent.number <= sent.number
	}
	if latest := c.latest[m.target]; latest.id == id {
		return before(latest.sent)
	}
	for _, other := range c.order {
		if !other.resolved && other.target == m.target && c.messageID(other) == id {
			return before(other.sent)
		}
	}
	return false
}

// storedBefore returns the outcome of a message that the hub has already.
func storedBefore(m *message) outcome {
	if m.published {
		return forwarded
	}
	return duplicate
}

// explain returns why a message was not acknowledged, for operators.
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
	if c.hubNoted || c.lineage.HubStream == name {
		return
	}
	c.hubNoted, c.lineage.HubStream = true, name // once: several streams of the hub may take turns
	c.keepLineage()
}
