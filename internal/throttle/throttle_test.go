package throttle

import (
	"testing"
	"time"
)

func TestThrottle_Add(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	throttle := New(time.Minute)
	steps := []struct {
		name  string
		key   string
		n     uint64
		after time.Duration
		count uint64
		log   bool
	}{
		{"nothing happened yet", "a", 0, 0, 0, false},
		{"the first event is logged at once", "a", 1, 0, 1, true},
		{"a repeat is suppressed", "a", 2, time.Second, 0, false},
		{"another key is not", "b", 3, time.Second, 3, true},
		{"still within the interval", "a", 1, 59 * time.Second, 0, false},
		{"suppressed events are due", "a", 0, time.Minute, 3, true},
		{"and are reported once", "a", 0, 3 * time.Minute, 0, false},
		{"the next event is logged with its own count", "a", 1, 4 * time.Minute, 1, true},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			count, log := throttle.Add(step.key, step.n, start.Add(step.after))
			if count != step.count || log != step.log {
				t.Errorf("Add(%q, %d) = %d, %v; want %d, %v", step.key, step.n, count, log, step.count, step.log)
			}
		})
	}
}
