package forward

import (
	"context"
	"errors"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/puback"
)

// dispatch publishes messages until ctx is done.
func (c *copier) dispatch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		m, wait := c.next()
		if m != nil {
			c.handle(ctx, m)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// next takes the message that is handled next, for which the pacer has room; nil: look again after wait, or when the
// copier is woken.
func (c *copier) next() (m *message, wait time.Duration) {
	now := c.f.opts.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, due := range c.retries.TakeDue(now) {
		c.senders.makeReady(due)
	}
	wait = heldCheck
	if at := c.retries.Next(); !at.IsZero() {
		wait = min(wait, max(at.Sub(now), 0))
	}
	m = c.senders.peek()
	if m == nil || !c.link.isUp() || c.isData && c.f.paused(now) || !c.link.pacer.take(m.size()) {
		return nil, wait
	}
	c.senders.take()
	c.inFlight++
	return m, 0
}

// release ends the way of a message, or of a question about it; took is zero without an answer.
func (c *copier) release(m *message, took time.Duration) {
	c.link.pacer.release(m.size(), took, c.f.opts.Now())
	c.mu.Lock()
	c.inFlight--
	c.mu.Unlock()
}

// handle decides what happens to the first message of a sender. The pacer has room for it.
func (c *copier) handle(ctx context.Context, m *message) {
	if circle := c.loop(m); circle != "" {
		c.release(m, 0)
		c.reject(m, contract.ReasonRefused, circle)
		return
	}
	if m.uncertain {
		last, known := c.lastAtHub(m)
		switch {
		case known && c.isStored(m, last):
			c.leave(m, storedBefore(m))
			return
		case !known && m.asked < maxAsked:
			c.ask(m)
			return
		}
		m.uncertain = false
	}
	if o, left := c.leftOut(m); left {
		c.leave(m, o)
		return
	}
	if !c.waitForRate(ctx, m.size()) {
		c.release(m, 0)
		c.retry(m, "")
		return
	}
	c.publish(m)
}

// leave ends the way of a message that is not published.
func (c *copier) leave(m *message, o outcome) {
	c.release(m, 0)
	c.finish(m, o)
}

// leftOut reports whether a message is not published because of its age or the mode, and the outcome then. One that
// the hub may have received is published.
func (c *copier) leftOut(m *message) (o outcome, left bool) {
	now := c.f.opts.Now()
	if m.published {
		return 0, false
	}
	if c.cfg.MaxAge > 0 && now.Sub(m.stored) > c.cfg.MaxAge {
		return superseded, true
	}
	switch c.selector.decide(m, now) {
	case leaveUnchanged:
		return unchanged, true
	case leaveSampled:
		return sampled, true
	default:
		return 0, false
	}
}

// waitForRate returns when so many bytes may be published; false: ctx is done.
func (c *copier) waitForRate(ctx context.Context, bytes int) bool {
	for bytes > 0 {
		n := bytes
		if burst := c.limiter.Burst(); burst > 0 {
			n = min(n, burst)
		}
		if err := c.limiter.WaitN(ctx, n); err != nil && ctx.Err() != nil {
			return false
		}
		bytes -= n
	}
	return true
}

// publish publishes a message; acked is called with its ack.
func (c *copier) publish(m *message) {
	if m.out == nil {
		m.out = c.outgoing(m)
	}
	c.number(m)
	err := c.link.request(m.target, m.out, m.data, func(r reply) { c.acked(m, r) })
	switch {
	case err == nil:
	case errors.Is(err, puback.ErrTooLarge):
		c.release(m, 0)
		c.reject(m, contract.ReasonTooLarge, "it is larger than a message may be at the hub")
	default: // it was not sent
		c.release(m, 0)
		c.retry(m, err.Error())
	}
}

// notPermitted rejects a message of another site that this edge may not forward. Messages of its own site wait: it is
// the configuration of the hub that must change.
func (c *copier) notPermitted(m *message, err error) bool {
	site, _, isOther := contract.CutSite(m.subject)
	if !isOther || !errors.Is(err, errNotPermitted) {
		return false
	}
	c.reject(m, contract.ReasonRefused, "the hub does not permit this edge to forward for the site "+site)
	return true
}

// number notes where a message is published.
func (c *copier) number(m *message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbered++
	m.sent = place{c.link.connections.Load(), c.numbered}
}

// acked handles the ack of a message, or the error of a publish without an ack.
func (c *copier) acked(m *message, r reply) {
	c.release(m, r.took)
	if c.notPermitted(m, r.err) {
		return
	}
	ack := puback.Ack{Err: r.err}
	if r.err == nil {
		ack = puback.Parse(r.status, r.data)
	}
	switch {
	case ack.InStream():
		c.noteHubStream(ack.Stream)
		c.selector.forwarded(m, c.f.opts.Now())
		if ack.Duplicate && !m.published {
			c.finish(m, duplicate)
		} else {
			c.finish(m, forwarded)
		}
	case ack.Retryable():
		if errors.Is(ack.Err, puback.ErrNoAck) {
			m.published, m.uncertain, m.answered, m.asked = true, true, false, 0
		}
		c.retry(m, c.explain(ack))
	default:
		c.reject(m, ack.Reason(), ack.Detail())
	}
}
