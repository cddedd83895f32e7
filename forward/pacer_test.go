package forward

import (
	"testing"
	"time"
)

func TestPacer_FollowsWhatTheLinkCarries(t *testing.T) {
	p := newPacer(1000, func() {})
	take := func() (taken int) {
		for p.take(10_000) {
			taken++
		}
		return taken
	}
	release := func(n int, took time.Duration, now time.Time) {
		for range n {
			p.release(10_000, took, now)
		}
	}
	first := take()
	if first != firstPaced/10_000 {
		t.Fatalf("%d messages at first", first)
	}
	release(first, 100*time.Millisecond, at(1))
	second := take()
	if second < 2*first-1 {
		t.Errorf("%d messages after quick acks of %d", second, first)
	}
	release(second, 3*time.Second, at(2))
	if third := take(); third > second/2+1 {
		t.Errorf("%d messages after slow acks of %d", third, second)
	}
}

func TestPacer_LetsOneMessagePass(t *testing.T) {
	p := newPacer(2, func() {})
	if !p.take(maxPaced + 1) {
		t.Error("a large message waits for ever")
	}
	if p.take(1) {
		t.Error("a message passes beside one that is too large")
	}
	p.release(maxPaced+1, 0, at(0))
	for n := range 3 {
		if taken := p.take(1); taken != (n < 2) {
			t.Errorf("message %d of a window of 2: %v", n+1, taken)
		}
	}
}
