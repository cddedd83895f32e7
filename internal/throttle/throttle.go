// Package throttle limits how often an event that repeats is logged. It counts what it
// suppresses, so that the next line can report it; it writes no log itself.
package throttle

import (
	"sync"
	"time"
)

// Throttle lets each key through once per interval. Keys are never forgotten: use a bounded
// set of them, such as the reasons of a metric. It is safe for concurrent use.
type Throttle struct {
	interval time.Duration

	mu   sync.Mutex
	keys map[string]*state
}

type state struct {
	logged     time.Time
	suppressed uint64 // events since it was logged
}

// New returns a Throttle that lets each key through at most once per interval.
func New(interval time.Duration) *Throttle {
	return &Throttle{interval: interval, keys: map[string]*state{}}
}

// Add counts n more events of the key and reports whether to log them now. If so, count is
// the number of events since the key was last logged, these included. With n = 0 it only
// asks whether events that were suppressed are due.
func (t *Throttle) Add(key string, n uint64, now time.Time) (count uint64, log bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.keys[key]
	if s == nil {
		s = &state{}
		t.keys[key] = s
	}
	s.suppressed += n
	if s.suppressed == 0 || now.Sub(s.logged) < t.interval {
		return 0, false
	}
	count, s.suppressed, s.logged = s.suppressed, 0, now
	return count, true
}
