package adapter

import (
	"slices"
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
type retries struct {
	waiting []retry // by time, the first one first
}

type retry struct {
	at      time.Time
	message *message
}

func (r *retries) add(m *message, now time.Time) {
	due := retry{now.Add(backoff(m.tries)), m}
	at, _ := slices.BinarySearchFunc(r.waiting, due, func(a, b retry) int { return a.at.Compare(b.at) })
	r.waiting = slices.Insert(r.waiting, at, due)
}

// due takes out what is to be sent now.
func (r *retries) due(now time.Time) []*message {
	var due []*message
	for len(r.waiting) > 0 && !r.waiting[0].at.After(now) {
		due = append(due, r.waiting[0].message)
		r.waiting = r.waiting[1:]
	}
	return due
}

func backoff(tries int) time.Duration {
	if tries > 6 {
		return mostBackoff
	}
	return firstBackoff << (tries - 1)
}
