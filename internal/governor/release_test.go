package governor

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestGate_ReleasesSlotsOfNodesThatAreDown has a node go down while it is in a governor.
func TestGate_ReleasesSlotsOfNodesThatAreDown(t *testing.T) {
	var down atomic.Bool
	s := open(t, 5, func(o *Options) {
		o.Release = 50 * time.Millisecond
		o.IsDown = func(node string, atLeast time.Duration) bool {
			return node == "n1" && atLeast == o.Release && down.Load()
		}
	})
	n1, n2 := s.connect("n1"), s.connect("n2")
	s.mustEnter(n1, "n1", 1)
	s.mustEnter(n2, "n1", 2) // the name of an entry does not count
	s.mustEnter(n1, watcher, 3)
	time.Sleep(2 * s.gate.opts.Release)
	s.stream.wants(t, 1, 2, 3)
	down.Store(true)
	s.stream.wants(t, 2)
	if s.removed(removedDown) != 2 {
		t.Errorf("%d entries were removed", s.removed(removedDown))
	}
}
