package fleet

import (
	"math"
	"time"
)

// schedule knows when time alone may change which node. It is looked through several times
// a second, so the times stand beside each other and not in the nodes.
type schedule struct {
	due   []int64 // Unix nanoseconds
	nodes []*node
}

const never = math.MaxInt64

func (s *schedule) add(n *node) {
	n.slot = len(s.nodes)
	s.nodes = append(s.nodes, n)
	s.due = append(s.due, never)
}

func (s *schedule) set(n *node, at time.Time) {
	s.due[n.slot] = never
	if !at.IsZero() {
		s.due[n.slot] = at.UnixNano()
	}
}

// remove puts the last node where this one was.
func (s *schedule) remove(n *node) {
	last := len(s.nodes) - 1
	s.nodes[n.slot], s.due[n.slot] = s.nodes[last], s.due[last]
	s.nodes[n.slot].slot = n.slot
	s.nodes[last] = nil
	s.nodes, s.due = s.nodes[:last], s.due[:last]
}

// at are the nodes that are due at a time; all of them where everything may have changed.
func (s *schedule) at(now time.Time, all bool) []*node {
	var due []*node
	limit := now.UnixNano()
	for slot, at := range s.due {
		if all || at <= limit {
			due = append(due, s.nodes[slot])
		}
	}
	return due
}
