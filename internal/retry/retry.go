// Package retry schedules further attempts of what did not succeed: how long to wait after each attempt, and what is
// due. It does nothing with what is due.
package retry

import (
	"container/heap"
	"time"
)

// Bounds of the pause before a retry, which doubles with each attempt. Both are far below the
// duplicate window of a stream, so the stream still recognizes a retry as a duplicate, unless it stays
// silent for longer than the window.
const (
	MinBackoff = 100 * time.Millisecond
	MaxBackoff = 5 * time.Second
)

// Backoff returns the pause after the given number of attempts (at least 1).
func Backoff(attempts int) time.Duration {
	if attempts > 6 {
		return MaxBackoff
	}
	return MinBackoff << (attempts - 1)
}

// Queue holds items that are to be attempted again later. Its zero value is empty. It is not safe for concurrent use.
type Queue[T any] struct{ scheduled schedule[T] }

// entry is an item and when to attempt it again.
type entry[T any] struct {
	at   time.Time
	item T
}

// Add schedules the next attempt of an item after the given number of attempts (at least 1).
func (q *Queue[T]) Add(item T, attempts int, now time.Time) {
	heap.Push(&q.scheduled, entry[T]{now.Add(Backoff(attempts)), item})
}

// TakeDue removes and returns the items whose time has come, the earliest first.
func (q *Queue[T]) TakeDue(now time.Time) []T {
	var due []T
	for len(q.scheduled) > 0 && !q.scheduled[0].at.After(now) {
		due = append(due, heap.Pop(&q.scheduled).(entry[T]).item)
	}
	return due
}

// Next returns when the first item is due; the zero time if the queue is empty.
func (q *Queue[T]) Next() time.Time {
	if len(q.scheduled) == 0 {
		return time.Time{}
	}
	return q.scheduled[0].at
}

// TakeAll removes and returns all items, the earliest first.
func (q *Queue[T]) TakeAll() []T {
	var all []T
	for len(q.scheduled) > 0 {
		all = append(all, heap.Pop(&q.scheduled).(entry[T]).item)
	}
	return all
}

// Len returns the number of items.
func (q *Queue[T]) Len() int { return len(q.scheduled) }

// schedule is a container/heap whose top is the earliest entry.
type schedule[T any] []entry[T]

func (s schedule[T]) Len() int           { return len(s) }
func (s schedule[T]) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s schedule[T]) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *schedule[T]) Push(x any)        { *s = append(*s, x.(entry[T])) }
func (s *schedule[T]) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = entry[T]{}
	*s = old[:len(old)-1]
	return last
}
