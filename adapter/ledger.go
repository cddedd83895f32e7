package adapter

import (
	"maps"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

// Stats is the ledger at one moment, at which
//
//	Received = Stored + Duplicate + all Rejected + all Dropped + Pending
type Stats struct {
	Received  uint64
	Stored    uint64 // acknowledged by the stream
	Duplicate uint64 // the stream had it before we ever sent it
	Rejected  map[string]uint64
	Dropped   map[string]uint64
	Pending   uint64 // received, and no verdict yet

	Retries           uint64 // publishes that had to be repeated
	Bytes             uint64 // received
	BytesStored       uint64
	RejectsUnrecorded uint64 // rejected, and not in the stream of rejected messages
	Held              int64  // bytes held for the pending ones

	ParseTime   time.Duration // spent on reading messages, all workers together
	Parsed      uint64
	PublishTime time.Duration // from publishing to the answer, all messages together
	Answered    uint64
}

// Balanced tells whether every message is accounted for.
func (s Stats) Balanced() bool {
	return s.Received == s.Stored+s.Duplicate+sum(s.Rejected)+sum(s.Dropped)+s.Pending
}

// AllRejected is the number of rejected messages, whatever the reason.
func (s Stats) AllRejected() uint64 { return sum(s.Rejected) }

// AllDropped is the number of dropped messages, whatever the reason.
func (s Stats) AllDropped() uint64 { return sum(s.Dropped) }

func sum(counts map[string]uint64) uint64 {
	var n uint64
	for _, count := range counts {
		n += count
	}
	return n
}

// ledger counts every message once, at its verdict, and holds the bounds of the buffer.
// It is guarded by the adapter's mutex.
type ledger struct {
	stats      Stats
	mostBytes  int64
	mostQueued uint64 // 0: no bound
}

func newLedger(mostBytes int64, mostQueued uint64) *ledger {
	l := &ledger{mostBytes: mostBytes, mostQueued: mostQueued}
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

// room tells whether a message of that size can be held.
func (l *ledger) room(size int) bool {
	s := &l.stats
	return s.Held+heldFor(size) <= l.mostBytes && (l.mostQueued == 0 || s.Pending < l.mostQueued)
}

// receive counts a message in, and tells whether there is room for it. If not, that was
// its verdict.
func (l *ledger) receive(size int, wanted bool) bool {
	s := &l.stats
	s.Received++
	s.Bytes += uint64(size)
	if !wanted || !l.room(size) {
		s.Dropped[contract.ReasonBuffer]++
		return false
	}
	s.Pending++
	s.Held += heldFor(size)
	return true
}

// lose counts messages that never reached the adapter.
func (l *ledger) lose(n uint64) {
	l.stats.Received += n
	l.stats.Dropped[contract.ReasonConnection] += n
}

// hold notes that a pending message takes another amount of memory now.
func (l *ledger) hold(m *message, bytes int64) {
	l.stats.Held += bytes - m.held
	m.held = bytes
}

func (l *ledger) store(m *message) {
	l.stats.Stored++
	l.stats.BytesStored += uint64(len(m.out.data()))
	l.release(m)
}

func (l *ledger) duplicate(m *message) {
	l.stats.Duplicate++
	l.release(m)
}

func (l *ledger) reject(m *message, reason string) {
	l.stats.Rejected[reason]++
	l.release(m)
}

// dropPending gives up on everything that has no verdict.
func (l *ledger) dropPending() {
	l.stats.Dropped[contract.ReasonShutdown] += l.stats.Pending
	l.stats.Pending, l.stats.Held = 0, 0
}

// full tells whether the pending messages hold more than they may: what is unpacked can be
// larger than what was received.
func (l *ledger) full() bool { return l.stats.Held > l.mostBytes }

func (l *ledger) release(m *message) {
	l.stats.Pending--
	l.stats.Held -= m.held
}

func (l *ledger) snapshot() Stats {
	s := l.stats
	s.Rejected = maps.Clone(s.Rejected)
	s.Dropped = maps.Clone(s.Dropped)
	return s
}
