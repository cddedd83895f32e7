package adapter

import (
	"container/heap"
	"time"
)

// The first retry of a message comes soon, the later ones ever more seldom. All stay well
// within the duplicate window, so that a message whose acknowledgement was lost is not
// stored twice.
const (
	firstBackoff = 100 * time.Millisecond
	mostBackoff  = 5 * time.Second
)

// retries are messages that wait to be sent once more. It is guarded by the adapter's mutex.
type retries struct{ waiting retryHeap }

type retry struct {
	at      time.Time
	message *message
}

func (r *retries) add(m *message, now time.Time) {
	heap.Push(&r.waiting, retry{now.Add(backoff(m.tries)), m})
}

// due takes out what is to be sent now.
func (r *retries) due(now time.Time) []*message {
	var due []*message
	for len(r.waiting) > 0 && !r.waiting[0].at.After(now) {
		due = append(due, heap.Pop(&r.waiting).(retry).message)
	}
	return due
}

func backoff(tries int) time.Duration {
	if tries > 6 {
		return mostBackoff
	}
	return firstBackoff << (tries - 1)
}

// retryHeap is a container/heap with the next one due at its top.
type retryHeap []retry

func (h retryHeap) Len() int           { return len(h) }
func (h retryHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h retryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *retryHeap) Push(x any)        { *h = append(*h, x.(retry)) }
func (h *retryHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = retry{}
	*h = old[:len(old)-1]
	return last
}
