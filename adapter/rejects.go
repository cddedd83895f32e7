package adapter

import (
	"strconv"

	"github.com/nats-io/nats.go"
)

// Headers on a message in the stream of rejected ones.
const (
	headerReason  = "Muster-Reason"
	headerDetail  = "Muster-Detail"
	headerSubject = "Muster-Subject"
	headerSize    = "Muster-Size"
)

const (
	// rejectSubject is followed by the adapter's name and the reason.
	rejectSubject = "muster.rejected."
	// rejectBytes is how much of a rejected message is kept.
	rejectBytes = 64 << 10
	// rejectsUnanswered is how many may wait for their acknowledgement; more are not recorded.
	rejectsUnanswered = 1000
)

// record keeps a rejected message with the reason, if that is possible at once: a reject
// never waits, and its verdict has been counted already.
func (a *Adapter) record(m *message) {
	a.mu.Lock()
	full := a.recording > rejectsUnanswered
	a.mu.Unlock()
	if full || a.local.publish(a.rejected(m), a.now(), a.recorded) != nil {
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

func (a *Adapter) rejected(m *message) *nats.Msg {
	out := nats.NewMsg(rejectSubject + a.cfg.Name + "." + m.reason)
	out.Data = m.raw[:min(len(m.raw), rejectBytes)]
	out.Header[headerReason] = []string{m.reason}
	out.Header[headerDetail] = []string{m.detail[:min(len(m.detail), 512)]}
	out.Header[headerSubject] = []string{m.subject}
	out.Header[headerSize] = []string{strconv.Itoa(len(m.raw))}
	out.Header[headerReceived] = []string{stamp(m.received)}
	out.Header[headerSite] = []string{a.site}
	return out
}
