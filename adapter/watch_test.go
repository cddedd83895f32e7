package adapter

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/puback"
)

func TestReport_LogsEachReasonOnceAMinute(t *testing.T) {
	var out bytes.Buffer
	r := newReport(hclog.New(&hclog.LoggerOptions{Output: &out}), func(string) string { return "" })
	s := newLedger(1, 0).snapshot()
	lines := func() int { return strings.Count(out.String(), "\n") }
	now := time.Unix(1000, 0)
	r.update(s, "", now)
	if lines() != 0 {
		t.Fatalf("nothing happened, but the log has\n%s", &out)
	}
	for range 100 {
		s.Rejected[contract.ReasonSchema]++
		now = now.Add(100 * time.Millisecond)
		r.update(s, puback.ErrNoResponders.Error(), now)
	}
	if lines() != 2 {
		t.Errorf("have\n%s", &out)
	}
	r.update(s, "", now.Add(time.Minute))
	r.update(s, "", now.Add(time.Minute+recoveryTime))
	if lines() != 4 || !strings.Contains(out.String(), "reason=schema count=99") ||
		!strings.Contains(out.String(), "stores messages again") {
		t.Errorf("have\n%s", &out)
	}
}

// While a stream recovers, some messages are stored and others refused, for seconds.
func TestReport_LogsOneRecovery(t *testing.T) {
	var out bytes.Buffer
	r := newReport(hclog.New(&hclog.LoggerOptions{Output: &out}), func(string) string { return "" })
	s := newLedger(1, 0).snapshot()
	now := time.Unix(1000, 0)
	update := func(fault string) {
		now = now.Add(watchInterval)
		r.update(s, fault, now)
	}
	for range 200 {
		update("maximum bytes exceeded")
		update("")
	}
	if have := strings.Count(out.String(), "\n"); have != 1 {
		t.Fatalf("%d lines while the stream recovers, want 1:\n%s", have, &out)
	}
	for range 2 * recoveryTime / watchInterval {
		update("")
	}
	if have := strings.Count(out.String(), "stores messages again"); have != 1 || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%d recoveries, want 1:\n%s", have, &out)
	}
	update("maximum bytes exceeded")
	if have := strings.Count(out.String(), "does not store messages"); have != 2 {
		t.Errorf("%d faults, want 2:\n%s", have, &out)
	}
}

func TestReport_AddsAHint(t *testing.T) {
	var out bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Output: &out})
	r := newReport(log, func(reason string) string { return "hint for " + reason })
	s := newLedger(1, 0).snapshot()
	s.Rejected[contract.ReasonUnsigned]++
	r.update(s, "", time.Unix(1000, 0))
	if !strings.Contains(out.String(), `hint="hint for unsigned"`) {
		t.Errorf("have\n%s", &out)
	}
}
