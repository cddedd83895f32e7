package adapter

import (
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/throttle"
)

const (
	// watchInterval is how often retries and missing acks are looked for.
	watchInterval = 50 * time.Millisecond
	// reportInterval is how often messages with the same outcome and reason are logged.
	reportInterval = time.Minute
	// recoveryTime is how long a stream must have no fault until that is logged. A stream that is
	// at its limit, or whose disk is full, takes some messages and refuses the next ones.
	recoveryTime = 2 * time.Second
)

// watch is a goroutine: until the adapter stops, it ends the wait for acks that are overdue,
// publishes retries that are due, and logs what goes wrong.
func (a *Adapter) watch() {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	report := newReport(a.opts.Log, a.hintFor)
	for {
		select {
		case <-a.halted:
			a.reportFloods(a.opts.Now())
			report.update(a.Stats(), a.Fault(), a.opts.Now().Add(reportInterval)) // one interval later: nothing is suppressed
			return
		case <-ticker.C:
			now := a.opts.Now()
			a.streamPublisher.expire(now)
			if a.appliancePublisher != a.streamPublisher {
				a.appliancePublisher.expire(now)
			}
			a.publishRetries(now)
			a.reportFloods(now)
			report.update(a.Stats(), a.Fault(), now)
		}
	}
}

// publishRetries publishes the messages whose retry is due.
func (a *Adapter) publishRetries(now time.Time) {
	a.mu.Lock()
	for _, m := range a.retries.TakeDue(now) {
		a.senders.resume(m)
	}
	ready := a.takePublishable()
	a.peers.forgetIdle(now.Add(-idleTime))
	a.mu.Unlock()
	a.publish(ready)
}

// report logs what changes in the ledger, and when a fault of the stream begins and ends.
// Thousands of messages may be rejected for one cause: the first is logged at once, the others once
// a minute with their number.
type report struct {
	log      hclog.Logger
	hintFor  func(reason string) string // what an operator can do about a reason; may be empty
	rejected *reasonLog
	dropped  *reasonLog
	setBack  *reasonLog
	failing  bool      // a fault is logged, and its end is not
	healthy  time.Time // since when there is no fault; zero: there is one, or none was logged
}

func newReport(log hclog.Logger, hint func(reason string) string) *report {
	return &report{log: log, hintFor: hint, rejected: newReasonLog(), dropped: newReasonLog(), setBack: newReasonLog()}
}

// update logs what has changed since the last update.
func (r *report) update(s Stats, fault string, now time.Time) {
	r.rejected.due(s.Rejected, now, func(reason string, count uint64) {
		pairs := []any{"reason", reason, "count", count}
		if hint := r.hintFor(reason); hint != "" {
			pairs = append(pairs, "hint", hint)
		}
		r.log.Warn("messages rejected", pairs...)
	})
	r.dropped.due(s.Dropped, now, func(reason string, count uint64) {
		r.log.Warn("messages dropped", "reason", reason, "count", count)
	})
	r.setBack.due(map[string]uint64{"": s.SetBack}, now, func(_ string, count uint64) {
		r.log.Info("clock of a node was set back", "node", s.lastSetBack, "count", count)
	})
	r.updateFault(fault, s.Pending, now)
}

// updateFault logs a fault at once, and its end when there was none for recoveryTime.
func (r *report) updateFault(fault string, pending uint64, now time.Time) {
	switch {
	case fault != "":
		r.healthy = time.Time{}
		if !r.failing {
			r.log.Error("stream does not store messages", "error", fault, "pending", pending)
			r.failing = true
		}
	case !r.failing:
	case r.healthy.IsZero():
		r.healthy = now
	case now.Sub(r.healthy) >= recoveryTime:
		r.log.Info("stream stores messages again", "pending", pending)
		r.failing, r.healthy = false, time.Time{}
	}
}

// reasonLog decides for each reason whether its counter is logged now.
type reasonLog struct {
	throttle *throttle.Throttle
	seen     map[string]uint64
}

func newReasonLog() *reasonLog {
	return &reasonLog{throttle: throttle.New(reportInterval), seen: map[string]uint64{}}
}

// due calls log for every reason whose counter has risen since it was last logged, at most once
// per reportInterval, with the difference.
func (l *reasonLog) due(counts map[string]uint64, now time.Time, log func(reason string, count uint64)) {
	for reason, count := range counts {
		risen := count - l.seen[reason]
		l.seen[reason] = count
		if n, due := l.throttle.Add(reason, risen, now); due {
			log(reason, n)
		}
	}
}
