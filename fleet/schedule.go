package fleet

import (
	"math"
	"time"
)

// schedule has the time at which each node's state may change next. Every tick scans all of
// them, so the times are kept in one slice and not in the nodes.
type schedule struct {
	times []int64 // Unix nanoseconds, or never
	nodes []*node // same index as times; node.scheduleIndex is that index
}

const never = math.MaxInt64

func (s *schedule) add(n *node) {
	n.scheduleIndex = len(s.nodes)
	s.nodes = append(s.nodes, n)
	s.times = append(s.times, never)
}

// set changes the time of a node; zero means never.
func (s *schedule) set(n *node, at time.Time) {
	s.times[n.scheduleIndex] = never
	if !at.IsZero() {
		s.times[n.scheduleIndex] = at.UnixNano()
	}
}

// notLater makes the time of a node not later than this.
func (s *schedule) notLater(n *node, at time.Time) {
	s.times[n.scheduleIndex] = min(s.times[n.scheduleIndex], at.UnixNano())
}

// remove moves the last node into the place of the removed one.
func (s *schedule) remove(n *node) {
	last := len(s.nodes) - 1
	s.nodes[n.scheduleIndex], s.times[n.scheduleIndex] = s.nodes[last], s.times[last]
	s.nodes[n.scheduleIndex].scheduleIndex = n.scheduleIndex
	s.nodes[last] = nil
	s.nodes, s.times = s.nodes[:last], s.times[:last]
}

// due returns the nodes whose time has come.
func (s *schedule) due(now time.Time) []*node {
	var due []*node
	limit := now.UnixNano()
	for i, at := range s.times {
		if at <= limit {
			due = append(due, s.nodes[i])
		}
	}
	return due
}

// move moves all times by d.
func (s *schedule) move(d time.Duration) {
	for i, at := range s.times {
		if at != never {
			s.times[i] = at + int64(d)
		}
	}
}

// all returns every node, in a new slice.
func (s *schedule) all() []*node { return append([]*node(nil), s.nodes...) }
