package adapter

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/rejected"
)

// manyMessages is how many pending messages a peer has when one of its senders is remembered, so that
// a report can name it.
const manyMessages = 16

// floodLimit returns the load above which a peer floods: twice its share of the buffer, but never
// more than half of the buffer. A peer without others may fill the buffer.
func (p *peerQueues) floodLimit() int64 {
	if len(p.byKey) < 2 {
		return p.ledger.maxHeld
	}
	return min(p.ledger.maxHeld/2, 2*p.ledger.maxHeld/int64(len(p.byKey)+1))
}

// floods reports whether a peer holds more than that.
func (p *peerQueues) floods(q *peerQueue) bool { return p.load(q) > p.floodLimit() }

// admit makes room for a message of size bytes. If that is not possible, it returns the reason why the
// message must be dropped: no other peer holds more.
func (p *peerQueues) admit(q *peerQueue, size int) (dropped string) {
	for !p.ledger.hasRoom(size) {
		if !p.dropFromLargest(q, p.weight(heldFor(size))) {
			return p.dropReason(q)
		}
	}
	return ""
}

// dropReason returns the reason for which messages of this peer are dropped now.
func (p *peerQueues) dropReason(q *peerQueue) string {
	if p.floods(q) {
		return contract.ReasonFlood
	}
	return contract.ReasonBuffer
}

// makeRoom makes room for the output of a message of this peer, and reports whether there is any: too
// many bytes are held while every peer converts as much as it may. Unless a peer floods, nothing is
// dropped for it: the message can wait.
func (p *peerQueues) makeRoom(q *peerQueue) bool {
	for p.ledger.holdsTooMuch() {
		largest := p.sizes.largest()
		if largest == nil || !p.floods(largest) || !p.dropFromLargest(q, 0) {
			return false
		}
	}
	return true
}

// dropFromLargest drops the newest message of the peer that holds most, for a message of q that has
// this weight. It does not, and returns false, unless that peer holds more than q, also after the
// exchange.
func (p *peerQueues) dropFromLargest(q *peerQueue, weight int64) bool {
	largest := p.sizes.largest()
	if largest == nil || largest == q || p.load(largest) < p.load(q)+2*weight {
		return false
	}
	reason := p.dropReason(largest)
	if reason == contract.ReasonFlood {
		p.countFlood(largest)
	}
	m := largest.arrivals.popNewest()
	p.ledger.countDropped(m, reason)
	largest.pending--
	largest.held -= m.held
	p.place(largest)
	p.discard(m)
	return true
}

// countFlood counts a dropped message for the next report.
func (p *peerQueues) countFlood(q *peerQueue) {
	if q.floodDropped == 0 {
		p.flooding = append(p.flooding, q)
	}
	q.floodDropped++
}

// takeFloods returns an entry for each peer whose messages were dropped as flood since the last call.
func (p *peerQueues) takeFloods() []rejected.Entry {
	var entries []rejected.Entry
	for _, q := range p.flooding {
		detail := fmt.Sprintf("%s held %s of the buffer of %s",
			q.key, humanize.IBytes(uint64(p.load(q))), humanize.IBytes(uint64(p.ledger.maxHeld)))
		entries = append(entries, rejected.Entry{
			Name: q.name(), Verified: q.key.user != "", Reason: contract.ReasonFlood, Detail: detail, Count: q.floodDropped,
		})
		q.floodDropped = 0
	}
	p.flooding = nil
	return entries
}

// reportFloods adds to the table of rejected messages what was dropped as flood since the last call.
func (a *Adapter) reportFloods(now time.Time) {
	a.mu.Lock()
	entries := a.peers.takeFloods()
	a.mu.Unlock()
	for _, e := range entries {
		e.By = "adapter " + a.cfg.Name
		a.opts.Rejected.Add(e, now)
	}
}

// rememberSender keeps the sender of a message as an example of its peer's senders.
func (q *peerQueue) rememberSender(m *message) {
	if q.sender == "" && q.pending >= manyMessages {
		q.sender = strings.Clone(m.sender)
	}
}

// name returns the name under which a peer is reported: its identity, or else one of its senders.
func (q *peerQueue) name() string {
	return cmp.Or(q.key.user, q.sender, q.key.name, q.key.String())
}
