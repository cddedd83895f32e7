package fleet

import (
	"math"
	"time"
)

const (
	// minGaps and minSpan are how many gaps between registrations must be known, and how long they must be
	// together, before the interval of a node is. A node that is installed and restarted several times
	// registers each time.
	minGaps = 3
	minSpan = 10 * time.Minute
	// A period has periodIntervals intervals, but is not shorter than minPeriod, which is also that of a node
	// whose interval is not known, and not longer than maxPeriod.
	periodIntervals      = 3
	minPeriod, maxPeriod = 70 * time.Minute, 72 * time.Hour
)

// gaps are what is known of the times between a node's registrations, in milliseconds. There can be
// several hundred thousand nodes, so they take little memory.
//
// The longest gap but one of a period is the interval: one outage does not make it longer, and registrations
// in quick succession, as of a node that restarts or whose inventory changes, do not make it shorter. A
// longer interval applies at once, a shorter one at the end of the period.
type gaps struct {
	estimate        uint32 // the interval; 0: the first period has not ended
	longest, second uint32 // gaps of this period
	span            uint32 // of this period
	count           uint32 // of gaps in this period
}

// add records the time between two registrations, one of which followed the other.
func (g *gaps) add(gap time.Duration) {
	ms := uint32(min(max(gap.Milliseconds(), 1), math.MaxUint32))
	if ms > g.longest {
		g.longest, g.second = ms, g.longest
	} else if ms > g.second {
		g.second = ms
	}
	period := g.period()
	if g.estimate == 0 {
		g.span += min(ms, period)
	} else {
		g.span += min(ms, g.estimate, period) // an outage does not end a period
	}
	g.count++
	switch {
	case g.count >= minGaps && g.span >= period:
		*g = gaps{estimate: g.second}
	case g.estimate > 0:
		g.estimate = max(g.estimate, g.second)
	}
}

// period returns the length of a period in milliseconds.
func (g *gaps) period() uint32 {
	period := time.Duration(g.estimate) * time.Millisecond * periodIntervals
	return uint32(min(max(period, minPeriod), maxPeriod).Milliseconds())
}

// interval estimates the interval between registrations. known is false if there are fewer than minGaps, or
// minSpan has not passed. In the first period the interval is the longest gap, 0 if there is none.
func (g *gaps) interval() (interval time.Duration, known bool) {
	if g.estimate > 0 {
		return time.Duration(g.estimate) * time.Millisecond, true
	}
	known = g.count >= minGaps && g.span >= uint32(minSpan.Milliseconds())
	return time.Duration(g.longest) * time.Millisecond, known
}

// merge adds what other gaps of the same node tell: the longer interval, and the period with more gaps.
func (g *gaps) merge(other gaps) {
	estimate := max(g.estimate, other.estimate)
	if other.count >= g.count {
		*g = other
	}
	g.estimate = estimate
}

// gapsOf returns gaps that have the given interval, as an event of an earlier process has it.
func gapsOf(interval time.Duration) gaps {
	return gaps{estimate: uint32(min(max(interval.Milliseconds(), 0), math.MaxUint32))}
}
