package adapter

import (
	"strconv"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/puback"
	"github.com/muster-appliance/muster/internal/rejected"
)

const (
	// maxRejectBytes is how much of a rejected message is stored.
	maxRejectBytes = 64 << 10
	// maxDetailBytes is how much of the detail is stored.
	maxDetailBytes = 512
	// maxUnackedRejects is how many rejected messages may wait for the ack of their copy. Beyond
	// it, no copy is stored.
	maxUnackedRejects = 1000
)

// storeReject publishes a rejected message to the stream of rejected messages, if that is
// possible at once: its outcome has been counted, and a reject never waits.
func (a *Adapter) storeReject(m *message) {
	name, verified := m.publisher()
	a.opts.Rejected.Add(rejected.Entry{
		By: "adapter " + a.cfg.Name, Name: name, Verified: verified, Reason: m.reason, Detail: m.detail,
	}, m.received)
	a.mu.Lock()
	full := a.unackedRejects > maxUnackedRejects
	a.mu.Unlock()
	if full || a.appliancePublisher.publish(a.rejectCopy(m), a.opts.Now(), a.rejectAcked) != nil {
		a.rejectAcked(puback.Ack{Err: puback.ErrNoAck})
	}
}

// rejectAcked handles the ack of the stream of rejected messages.
func (a *Adapter) rejectAcked(ack puback.Ack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unackedRejects--
	if !ack.InStream() {
		a.ledger.stats.RejectsUnrecorded++
	}
	a.checkIdle()
}

// rejectCopy returns the copy of a rejected message that is stored.
func (a *Adapter) rejectCopy(m *message) *streamMessage {
	h := inproc.Begin(nil).
		Add(contract.HeaderReason, m.reason).
		Add(contract.HeaderDetail, m.detail[:min(len(m.detail), maxDetailBytes)]).
		Add(contract.HeaderSubject, m.subject).
		Add(contract.HeaderSize, strconv.Itoa(len(m.raw))).
		Add(contract.HeaderReceived, formatTime(m.received)).
		Add(contract.HeaderSite, a.opts.Site)
	out := &streamMessage{subject: a.rejectPrefix + contract.SubjectRejected + a.cfg.Name + "." + m.reason}
	out.setHeader(h)
	out.bytes = append(out.bytes, m.raw[:min(len(m.raw), maxRejectBytes)]...)
	return out
}
