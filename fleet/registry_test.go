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

// A node that connects again and again and never registers is shown while it is connected, and causes no
// event. Its registration is its first event.
func TestRegistry_ShowsConnectedNodesWithoutEvents(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newTestRegistry(testRules(now.Add(-time.Hour)))
	check := func(states map[State]int) {
		t.Helper()
		sum := 0
		for state, n := range states {
			if sum += n; r.counts[state] != n {
				t.Fatalf("%d nodes are %s, want %d", r.counts[state], state, n)
			}
		}
		if len(r.nodes) != sum || r.byName.Len() != sum || len(r.schedule.nodes) != sum || r.site("ams").nodes != sum {
			t.Fatalf("%d nodes, and %d of the site; want %d", len(r.nodes), r.site("ams").nodes, sum)
		}
	}
	for id := range uint64(100) {
		r.connect("web1", connID{"S", 2 * id}, now)
		r.connect("web1", connID{"S", 2*id + 1}, now.Add(time.Second))
		r.tick(now)
		r.disconnected("web1", connID{"S", 2 * id}, now, "Client Closed", now)
		check(map[State]int{Connected: 1})
		n := r.nodes["web1"]
		if !n.since.Equal(now) || n.connections.status().Connected != "yes" {
			t.Fatalf("connected since %s, %+v", n.since, n.connections.status())
		}
		r.shutdownEvent("web1", now, now)
		r.disconnected("web1", connID{"S", 2*id + 1}, now, "Client Closed", now)
		check(map[State]int{})
		now = now.Add(time.Minute)
	}
	client := startedConnection{id: connID{"S", 1000}, since: now, address: "10.0.0.1", verified: true}
	r.connected("choria=rip.mcollective", client, now)
	check(map[State]int{Connected: 0})
	if len(r.events) > 0 {
		t.Fatalf("events %v", r.kinds())
	}
	r.connect("web1", connID{"S", 1001}, now)
	r.registered(update{name: "web1", site: "ams", received: now}, now)
	check(map[State]int{Connected: 0, Up: 1})
	r.disconnected("web1", connID{"S", 1001}, now, "Client Closed", now)
	r.tick(now.Add(time.Minute))
	check(map[State]int{Up: 0, Down: 1})
	if e := r.events[0]; e.Event != eventNew || e.From != "" || e.To != Up || e.Reason != "registered for the first time" {
		t.Errorf("first event %+v", e)
	}
	if !slices.Equal(r.kinds(), []string{"new", "down"}) {
		t.Errorf("events %v", r.kinds())
	}
}

// A registration of another site moves a connected node there.
func TestRegistry_CountsConnectedNodesAtTheirSite(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newTestRegistry(testRules(now.Add(-time.Hour)))
	r.connect("web1", connID{"S", 1}, now)
	r.registered(update{name: "web1", site: "fra", received: now}, now)
	if r.site("ams").nodes != 0 || r.site("fra").nodes != 1 {
		t.Errorf("ams has %d nodes, fra %d", r.site("ams").nodes, r.site("fra").nodes)
	}
}

func TestRegistry_KeepsConnectedNodesInLittleMemory(t *testing.T) {
	const nodes = 65_000 // max_connections of a large appliance
	now := time.Unix(1_000_000, 0)
	names := make([]string, nodes)
	for i := range names {
		names[i] = nodeName(i)
	}
	before := heap()
	r := newTestRegistry(testRules(now))
	for i, name := range names {
		r.connect(name, connID{"S", uint64(i)}, now)
	}
	bytes := (heap() - before) / nodes
	if r.counts[Connected] != nodes || bytes > 1<<10 {
		t.Errorf("%d nodes with %d bytes each, want at most 1024", r.counts[Connected], bytes)
	}
	t.Logf("%d bytes for each node", bytes)
}
