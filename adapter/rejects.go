package adapter

import (
	"strconv"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/rejected"
)

const (
	// rejectBytes is how much of a rejected message is kept.
	rejectBytes = 64 << 10
	// rejectsUnanswered is how many may wait for their acknowledgement; more are not recorded.
	rejectsUnanswered = 1000
)

// record keeps a rejected message with the reason, if that is possible at once: a reject
// never waits, and its verdict has been counted already.
func (a *Adapter) record(m *message) {
	a.refused.Add(rejected.Entry{By: "adapter " + a.cfg.Name, Name: m.sender, Reason: m.reason, Detail: m.detail}, m.received)
	a.mu.Lock()
	full := a.recording > rejectsUnanswered
	a.mu.Unlock()
	if full || a.local.send(a.rejected(m), a.now(), a.recorded) != nil {
		a.recorded(answer{err: errNoAnswer})
	}
}

// recorded takes the answer of the stream of rejected messages.
func (a *Adapter) recorded(answer answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recording--
	if !answer.stored() {
		a.ledger.stats.RejectsUnrecorded++
	}
	a.checkIdle()
}

func (a *Adapter) rejected(m *message) *output {
	h := inproc.Begin(nil).
		Add(contract.HeaderReason, m.reason).
		Add(contract.HeaderDetail, m.detail[:min(len(m.detail), 512)]).
		Add(contract.HeaderSubject, m.subject).
		Add(contract.HeaderSize, strconv.Itoa(len(m.raw))).
		Add(contract.HeaderReceived, stamp(m.received)).
		Add(contract.HeaderSite, a.site)
	out := &output{subject: contract.SubjectRejected + a.cfg.Name + "." + m.reason}
	out.headersEnd(h)
	out.text = append(out.text, m.raw[:min(len(m.raw), rejectBytes)]...)
	return out
}
