package adapter

import (
	"math/rand/v2"
	"testing"
)

func TestQueue_KeepsTheOrderOfArrival(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var q queue
	var started, left []*message
	for n := range 1000 {
		q.push(&message{held: int64(n)}) // its number
		if r.IntN(3) > 0 {
			started = append(started, q.startNext())
		}
		if len(started) > 0 && r.IntN(2) > 0 {
			at := r.IntN(len(started))
			started[at].converted = true
			started = append(started[:at], started[at+1:]...)
		}
		for m := q.popConverted(); m != nil; m = q.popConverted() {
			left = append(left, m)
		}
	}
	for m := q.startNext(); m != nil; m = q.startNext() {
		started = append(started, m)
	}
	for _, m := range started {
		m.converted = true
	}
	for m := q.popConverted(); m != nil; m = q.popConverted() {
		left = append(left, m)
	}
	for n, m := range left {
		if m.held != int64(n) {
			t.Fatalf("message %d left as number %d", m.held, n)
		}
	}
	if len(left) != 1000 {
		t.Errorf("%d messages left", len(left))
	}
}
