package fleet

import (
	"slices"
	"time"
)

// modelGaps computes the interval of a node a second time, from all gaps of a period.
type modelGaps struct {
	interval time.Duration // 0: the first period has not ended
	period   []time.Duration
	span     time.Duration
}

func (g *modelGaps) add(gap time.Duration) {
	length := min(max(3*g.interval, 70*time.Minute), 72*time.Hour)
	gap = max(gap, time.Millisecond)
	counted := min(gap, length)
	if g.interval > 0 {
		counted = min(counted, g.interval)
	}
	g.span += counted
	g.period = append(g.period, gap)
	switch slices.Sort(g.period); {
	case len(g.period) >= 3 && g.span >= length:
		*g = modelGaps{interval: g.period[len(g.period)-2]}
	case len(g.period) > 1 && g.interval > 0:
		g.interval = max(g.interval, g.period[len(g.period)-2])
	}
}

// known returns the interval, and whether it is known.
func (g *modelGaps) known() (time.Duration, bool) {
	switch {
	case g.interval > 0:
		return g.interval, true
	case len(g.period) == 0:
		return 0, false
	default:
		return slices.Max(g.period), len(g.period) >= 3 && g.span >= 10*time.Minute
	}
}
