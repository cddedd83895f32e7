package fleet

import (
	"math"
	"time"
)

const (
	// keptGaps is how many gaps between registrations are kept of a node: those between the registrations
	// that the stream keeps of it by default, so that a restart changes no interval.
	keptGaps = 4
	// minGaps is how many gaps must be known before the interval of a node is.
	minGaps = 3
)

// gaps are the times between a node's last registrations in milliseconds, the newest first; 0: not
// known. There can be several hundred thousand nodes, so they take little memory.
type gaps [keptGaps]uint32

// add records the time between two registrations, one of which followed the other.
func (g *gaps) add(gap time.Duration) {
	copy(g[1:], g[:])
	g[0] = uint32(min(max(gap.Milliseconds(), 1), math.MaxUint32))
}

// count returns how many gaps are known.
func (g *gaps) count() (n int) {
	for _, gap := range g {
		if gap > 0 {
			n++
		}
	}
	return n
}

// interval estimates the interval between registrations as the longest gap but one: one outage does not
// make it longer, and two registrations in quick succession, as of a node that restarts, do not make it
// shorter. known is false if there are fewer than minGaps; the interval is then the longest gap, 0 if
// there is none.
func (g *gaps) interval() (interval time.Duration, known bool) {
	var longest, second uint32
	for _, gap := range g {
		switch {
		case gap > longest:
			longest, second = gap, longest
		case gap > second:
			second = gap
		}
	}
	if known = g.count() >= minGaps; known {
		longest = second
	}
	return time.Duration(longest) * time.Millisecond, known
}

// gapsOf returns gaps that have the given interval, as an event of an earlier process has it.
func gapsOf(interval time.Duration) (g gaps) {
	for range minGaps {
		if interval > 0 {
			g.add(interval)
		}
	}
	return g
}
