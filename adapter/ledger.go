package adapter

import (
	"maps"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

// Stats is a copy of the ledger at one moment. At any moment
//
//	Received = Stored + Duplicate + all Rejected + all Dropped + Pending
type Stats struct {
	Received  uint64            // messages that the server routed to the adapter
	Stored    uint64            // acknowledged by the stream
	Duplicate uint64            // the stream had the message before its first attempt
	Rejected  map[string]uint64 // by reason; every reason is present
	Dropped   map[string]uint64 // by reason; every reason is present
	Pending   uint64            // received, without an outcome yet

	Retries           uint64 // retries scheduled
	Bytes             uint64 // received
	BytesStored       uint64
	RejectsUnrecorded uint64 // rejected messages that are not in the stream of rejected messages
	SetBack           uint64 // accepted over their sender's connection, signed before the newest of that sender
	Held              int64  // bytes held for the pending messages

	ConvertTime time.Duration // spent on converting messages, summed over all workers
	Converted   uint64        // messages converted
	PublishTime time.Duration // from publish to ack, summed over all publishes
	Published   uint64        // publishes that were acknowledged or given up

	lastSetBack string // sender of the last message counted in SetBack
}

// Balanced reports whether every message is accounted for.
func (s Stats) Balanced() bool {
	return s.Received == s.Stored+s.Duplicate+sum(s.Rejected)+sum(s.Dropped)+s.Pending
}

// AllRejected returns the number of rejected messages, for all reasons.
func (s Stats) AllRejected() uint64 { return sum(s.Rejected) }

// AllDropped returns the number of dropped messages, for all reasons.
func (s Stats) AllDropped() uint64 { return sum(s.Dropped) }

func sum(counts map[string]uint64) uint64 {
	var n uint64
	for _, count := range counts {
		n += count
	}
	return n
}

// ledger counts every message once, when its outcome is known, and enforces the bounds of the
// buffer. It is guarded by the adapter's mutex.
type ledger struct {
	stats              Stats
	maxHeld            int64  // bytes
	maxPendingMessages uint64 // messages; 0: no bound
}

func newLedger(maxHeld int64, maxPending uint64) *ledger {
	l := &ledger{maxHeld: maxHeld, maxPendingMessages: maxPending}
	l.stats.Rejected = map[string]uint64{}
	l.stats.Dropped = map[string]uint64{}
	for _, reason := range contract.RejectReasons() {
		l.stats.Rejected[reason] = 0
	}
	for _, reason := range contract.DropReasons() {
		l.stats.Dropped[reason] = 0
	}
	return l
}

// hasRoom reports whether a message of size bytes can be held.
func (l *ledger) hasRoom(size int) bool {
	s := &l.stats
	return s.Held+heldFor(size) <= l.maxHeld && (l.maxPendingMessages == 0 || s.Pending < l.maxPendingMessages)
}

// receive counts a received message, which is now pending. If a reason is given, it is dropped instead.
func (l *ledger) receive(size int, dropped string) {
	s := &l.stats
	s.Received++
	s.Bytes += uint64(size)
	if dropped != "" {
		s.Dropped[dropped]++
		return
	}
	s.Pending++
	s.Held += heldFor(size)
}

// countLost counts n messages that the server sent and that never arrived.
func (l *ledger) countLost(n uint64) {
	l.stats.Received += n
	l.stats.Dropped[contract.ReasonConnection] += n
}

// resize sets the bytes that are held for a pending message.
func (l *ledger) resize(m *message, bytes int64) {
	l.stats.Held += bytes - m.held
	m.held = bytes
}

func (l *ledger) countStored(m *message) {
	l.stats.Stored++
	l.stats.BytesStored += uint64(len(m.out.data()))
	l.release(m)
}

func (l *ledger) countDuplicate(m *message) {
	l.stats.Duplicate++
	l.release(m)
}

func (l *ledger) countRejected(m *message, reason string) {
	l.stats.Rejected[reason]++
	l.release(m)
}

func (l *ledger) countDropped(m *message, reason string) {
	l.stats.Dropped[reason]++
	l.release(m)
}

// dropPending counts everything that has no outcome as dropped.
func (l *ledger) dropPending() {
	l.stats.Dropped[contract.ReasonShutdown] += l.stats.Pending
	l.stats.Pending, l.stats.Held = 0, 0
}

// holdsTooMuch reports whether more bytes are held than allowed: a message may unpack to more than
// was received.
func (l *ledger) holdsTooMuch() bool { return l.stats.Held > l.maxHeld }

// release ends the pending state of a message.
func (l *ledger) release(m *message) {
	l.stats.Pending--
	l.stats.Held -= m.held
}

// snapshot returns a copy that does not change.
func (l *ledger) snapshot() Stats {
	s := l.stats
	s.Rejected = maps.Clone(s.Rejected)
	s.Dropped = maps.Clone(s.Dropped)
	return s
}
