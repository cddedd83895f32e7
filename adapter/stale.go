package adapter

import (
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

// refuseStale rejects a converted message if it is a copy of an accepted one, or older than the
// newest of its sender, see signedTimes. It must be called once for each message, when the message
// leaves the arrival queue: never again when the message is retried. A message whose sender was not
// verified is not judged: its time proves nothing. The mutex is held.
func (a *Adapter) refuseStale(m *message) {
	if !m.verified {
		return
	}
	v, newest := a.signedTimes.judge(m.signed, m.peer.User == m.sender, m.received)
	switch v {
	case isCopy:
		a.rejectStale(m, "the message was accepted before")
	case isOld:
		a.rejectStale(m, fmt.Sprintf("signed at %s, but its sender has signed messages until %s",
			formatMicro(m.signed.time), formatMicro(newest)))
	default:
		if newest > m.signed.time {
			m.out.insertHeader(contract.HeaderNewest, formatMicro(newest))
		}
		if v == setBack {
			a.ledger.stats.SetBack++
			a.ledger.stats.lastSetBack = m.sender
		}
	}
}

// rejectStale sets the reason of a converted message.
func (a *Adapter) rejectStale(m *message, detail string) {
	a.outPool.put(m.out.bytes)
	m.out, m.reason, m.detail = nil, contract.ReasonStale, detail
}

// formatMicro returns a time in µs since 1970 as headers have it.
func formatMicro(t int64) string { return formatTime(time.UnixMicro(t)) }

// insertHeader adds a header to a finished message.
func (o *streamMessage) insertHeader(key, value string) {
	end := len("\r\n") // of the header block
	head := inproc.Header(make([]byte, 0, len(o.bytes)+headerBytes))
	head = append(head, o.bytes[:o.dataStart-end]...)
	data := o.data()
	o.setHeader(head.Add(key, value))
	o.bytes = append(o.bytes, data...)
}
