package adapter

import (
	"time"

	"github.com/hashicorp/go-hclog"
)

// report says in the log what the ledger shows. Thousands of messages may be rejected for
// one cause: the first is said at once, the others once a minute, with their number.
type report struct {
	log   hclog.Logger
	cure  func(reason string) string // what can be done about it; may be empty
	said  map[string]uint64
	when  map[string]time.Time
	fault string
}

func newReport(log hclog.Logger, cure func(reason string) string) *report {
	return &report{log: log, cure: cure, said: map[string]uint64{}, when: map[string]time.Time{}}
}

func (r *report) say(s Stats, fault string, now time.Time) {
	r.counts("messages rejected", s.Rejected, now)
	r.counts("messages dropped", s.Dropped, now)
	switch {
	case fault != "" && r.fault == "":
		r.log.Error("stream does not take messages", "error", fault, "pending", s.Pending)
	case fault == "" && r.fault != "":
		r.log.Info("stream takes messages again", "pending", s.Pending)
	}
	r.fault = fault
}

func (r *report) counts(what string, counts map[string]uint64, now time.Time) {
	for reason, count := range counts {
		key := what + reason
		if count == r.said[key] || now.Sub(r.when[key]) < reportInterval {
			continue
		}
		pairs := []any{"reason", reason, "count", count - r.said[key]}
		if cure := r.cure(reason); cure != "" {
			pairs = append(pairs, "cure", cure)
		}
		r.log.Warn(what, pairs...)
		r.said[key], r.when[key] = count, now
	}
}
