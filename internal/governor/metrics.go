package governor

import "github.com/prometheus/client_golang/prometheus"

// What became of requests to enter.
const (
	outcomeEntered = "entered"
	outcomeFull    = "full"    // the governor has no free slot
	outcomeMissing = "missing" // there is no such governor
	outcomeLate    = "late"    // the node had given up, or its connection had ended
	outcomeFailed  = "failed"  // JetStream or the Gate refused the entry
	outcomeIgnored = "ignored" // it needs no answer: no node or client has sent it, or it had no reply subject
)

// Why entries are removed.
const (
	removedLate     = "late"     // the node had given up before the ack
	removedGone     = "gone"     // the connection of the node had ended before the ack
	removedReplaced = "replaced" // the watcher that had made it entered again
	removedDown     = "down"     // the node is down, and governor_release is set
)

// counts are the metrics of the Gate.
type counts struct{ attempts, removals *prometheus.CounterVec }

func newCounts() counts {
	c := counts{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_governor_attempts_total", Help: "Requests to enter a governor.",
		}, []string{"outcome"}),
		removals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_governor_removed_total", Help: "Entries that the appliance has removed from governors.",
		}, []string{"reason"}),
	}
	for _, outcome := range []string{
		outcomeEntered, outcomeFull, outcomeMissing, outcomeLate, outcomeFailed, outcomeIgnored,
	} {
		c.attempts.WithLabelValues(outcome)
	}
	for _, reason := range []string{removedLate, removedGone, removedReplaced, removedDown} {
		c.removals.WithLabelValues(reason)
	}
	return c
}

func (c counts) attempt(outcome string) { c.attempts.WithLabelValues(outcome).Inc() }
func (c counts) remove(reason string)   { c.removals.WithLabelValues(reason).Inc() }

// Collectors returns the metrics of the Gate.
func (g *Gate) Collectors() []prometheus.Collector {
	return []prometheus.Collector{g.counts.attempts, g.counts.removals}
}
