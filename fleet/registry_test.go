package fleet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestRegistry_EmitsEventsWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRegistry(testRules(time.Now().Add(-time.Hour)))
		r.registered(update{name: "web1", site: "ams", received: time.Now()}, time.Now())
		for _, step := range []struct {
			wait time.Duration
			want []string
		}{
			{6*time.Minute - time.Nanosecond, []string{"new"}},
			{time.Nanosecond, []string{"new", "late"}},
			{5*time.Minute - time.Nanosecond, []string{"new", "late"}},
			{time.Nanosecond, []string{"new", "late", "down"}},
			{49*time.Minute - time.Nanosecond, []string{"new", "late", "down"}},
			{time.Nanosecond, []string{"new", "late", "down", "forgotten"}},
			{time.Hour, []string{"new", "late", "down", "forgotten"}},
		} {
			time.Sleep(step.wait)
			r.tick(time.Now())
			if got := r.kinds(); !slices.Equal(got, step.want) {
				t.Fatalf("events %v, want %v", got, step.want)
			}
		}
		if len(r.nodes) != 0 || r.counts[Down] != 0 {
			t.Errorf("a forgotten node is still counted: %v", r.counts)
		}
	})
}

func TestRegistry_TickFollowsClockThatJumps(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newTestRegistry(testRules(now.Add(-time.Hour)))
	r.registered(update{name: "web1", received: now}, now)
	for _, jump := range []time.Duration{
		7 * time.Minute, -time.Hour, 12 * time.Minute, time.Minute, 6 * time.Minute, 0,
	} {
		at := now.Add(jump)
		r.tick(at)
		n := r.nodes["web1"]
		if want := n.State(at, &r.rules); n.announced != want {
			t.Errorf("%s: %s, want %s", jump, n.announced, want)
		}
	}
	if want := []string{"new", "late", "up", "down", "up", "late", "up"}; !slices.Equal(r.kinds(), want) {
		t.Errorf("events %v, want %v", r.kinds(), want)
	}
}

func TestRegistry_EndOfOldConnectionChangesNothing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newTestRegistry(testRules(now.Add(-time.Hour)))
	r.registered(update{name: "web1", received: now}, now)
	id := func(n int) connID { return connID{"S", uint64(n)} }
	r.connect("web1", id(0), now)
	for n := range 4000 { // every other time the new connection is seen before the old one ends
		now = now.Add(time.Millisecond)
		if n%2 == 0 {
			r.connect("web1", id(n+1), now)
			r.disconnected("web1", id(n), now, "Client Closed", now)
		} else {
			r.disconnected("web1", id(n), now, "Client Closed", now)
			r.connect("web1", id(n+1), now)
		}
		r.disconnected("web1", id(n), now, "Client Closed", now) // a second time
		r.tick(now)
	}
	r.tick(now.Add(time.Minute))
	if want := []string{"new"}; !slices.Equal(r.kinds(), want) {
		t.Errorf("events %v, want %v", r.kinds(), want)
	}
	r.disconnected("web1", id(4000), now, "Client Closed", now)
	r.tick(now.Add(20 * time.Second))
	if want := []string{"new", "down"}; !slices.Equal(r.kinds(), want) {
		t.Errorf("events %v, want %v", r.kinds(), want)
	}
	if len(r.connections) != 0 {
		t.Errorf("%d names have connections, and all have ended", len(r.connections))
	}
}

func TestRegistry_SetRulesUpdatesStates(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	rules := testRules(now.Add(-time.Hour))
	r := newTestRegistry(rules)
	r.registered(update{name: "web1", site: "ams", received: now}, now)
	now = now.Add(3 * time.Minute)
	r.tick(now)
	rules.Late = 2 * time.Minute
	r.setRules(rules, 20, now)
	rules.Late = 4 * time.Minute
	r.setRules(rules, 20, now)
	r.tick(now.Add(time.Minute))
	if want := []string{"new", "late", "up", "late"}; !slices.Equal(r.kinds(), want) {
		t.Errorf("events %v, want %v", r.kinds(), want)
	}
}
