package adapter

import (
	"container/heap"
	"time"
)

// Bounds of the pause before a retry, which doubles with each attempt. Both are far below the
// stream's duplicate window, so the stream still recognizes a retry as a duplicate, unless it stays
// silent for longer than the window.
const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// retries holds the messages that are to be published again later. It is guarded by the adapter's
// mutex.
type retries struct{ scheduled retryHeap }

// retry is a message and when to publish it again.
type retry struct {
	at      time.Time
	message *message
}

// add schedules the next attempt of a message.
func (r *retries) add(m *message, now time.Time) {
	heap.Push(&r.scheduled, retry{now.Add(backoff(m.attempts)), m})
}

// takeDue removes and returns the messages whose time has come, the earliest first.
func (r *retries) takeDue(now time.Time) []*message {
	var due []*message
	for len(r.scheduled) > 0 && !r.scheduled[0].at.After(now) {
		due = append(due, heap.Pop(&r.scheduled).(retry).message)
	}
	return due
}

// backoff returns the pause after the given number of attempts (at least 1).
func backoff(attempts int) time.Duration {
	if attempts > 6 {
		return maxBackoff
	}
	return minBackoff << (attempts - 1)
}

// retryHeap is a container/heap whose top is the earliest retry.
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
