package forward

import "github.com/muster-appliance/muster/internal/uplink"

// outcome is what became of a message of a forwarded stream.
type outcome int

const (
	forwarded  outcome = iota // the hub has stored it
	duplicate                 // the hub had stored it before
	unchanged                 // left out by the mode
	sampled                   // left out by the mode
	superseded                // left out: too old, or replaced by a newer one
	rejected                  // the hub will never store it
)

// ledger counts every message of a stream once, when its outcome is known. The copier's mutex guards it.
type ledger struct{ stats uplink.Stream }

// read counts messages that were read, or are gone: they were deleted before they were read.
func (l *ledger) read(gone uint64) {
	l.stats.Read += gone + 1
	l.stats.Superseded += gone
	l.stats.Pending++
}

// resolve counts the outcome of a message that was read.
func (l *ledger) resolve(o outcome, bytes int) {
	s := &l.stats
	s.Pending--
	switch o {
	case forwarded:
		s.Forwarded++
		s.BytesForwarded += uint64(bytes)
	case duplicate:
		s.Duplicate++
	case unchanged:
		s.Unchanged++
	case sampled:
		s.Sampled++
	case superseded:
		s.Superseded++
	case rejected:
		s.Rejected++
	}
}
