package fleet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// conflictAfter is Rules.Conflict in these tests; a dead connection ends within half of that.
const conflictAfter = 4 * time.Minute

// newConflictRegistry returns a registry with web1, which has registered, and its clock.
func newConflictRegistry(started time.Time) *testRegistry {
	rules := testRules(started.Add(-time.Hour))
	rules.Conflict = conflictAfter
	r := newTestRegistry(rules)
	r.registered(update{name: "web1", site: "ams", received: started}, started)
	r.events = nil
	return r
}

// connectFrom records a connection of web1 that begins now.
func (r *testRegistry) connectFrom(address string, id uint64, named bool, now time.Time) {
	c := startedConnection{id: connID{"S", id}, since: now, address: address, node: true, named: named}
	r.connected("web1", c, now)
}

// conflictStep is what happens to web1 some time after the start.
type conflictStep struct {
	at time.Duration
	do func(r *testRegistry, now time.Time)
}

func connects(id uint64, address string) func(*testRegistry, time.Time) {
	return func(r *testRegistry, now time.Time) { r.connectFrom(address, id, true, now) }
}

func ends(id uint64) func(*testRegistry, time.Time) {
	return func(r *testRegistry, now time.Time) { r.disconnected("web1", connID{"S", id}, now, "x", now) }
}

func registers(id uint64) func(*testRegistry, time.Time) {
	return func(r *testRegistry, now time.Time) { r.published("web1", id, now) }
}

// asTool connects with the certificate of the node, under another name.
func asTool(id uint64, address string) func(*testRegistry, time.Time) {
	return func(r *testRegistry, now time.Time) { r.connectFrom(address, id, false, now) }
}

func TestRegistry_NoticesConflicts(t *testing.T) {
	const s, m = time.Second, time.Minute
	const a, b = "10.0.0.1", "10.0.0.2"
	for name, test := range map[string]struct {
		steps      []conflictStep
		begin, end time.Duration // 0: it does not
	}{
		"one connection":  {[]conflictStep{{0, connects(1, a)}, {m, registers(1)}, {6 * m, registers(1)}}, 0, 0},
		"two addresses":   {[]conflictStep{{0, connects(1, a)}, {m, connects(2, b)}}, 5 * m, 0},
		"and one stops":   {[]conflictStep{{0, connects(1, a)}, {m, connects(2, b)}, {7 * m, ends(1)}}, 5 * m, 7 * m},
		"stops in time":   {[]conflictStep{{0, connects(1, a)}, {m, connects(2, b)}, {5*m - 1, ends(1)}}, 0, 0},
		"roams, old dies": {[]conflictStep{{0, connects(1, a)}, {m, connects(2, b)}, {m + 118*s, ends(1)}}, 0, 0},
		"one address": {[]conflictStep{
			{0, connects(1, a)}, {m, connects(2, a)}, {2 * m, registers(2)}, {9 * m, registers(2)},
		}, 0, 0},
		"one address, both register": {[]conflictStep{
			{0, connects(1, a)}, {m, connects(2, a)}, {2 * m, registers(1)}, {3 * m, registers(2)},
		}, 5 * m, 0},
		"one address, one registered before": {[]conflictStep{
			{0, connects(1, a)}, {s, registers(1)}, {m, connects(2, a)}, {3 * m, registers(2)},
		}, 0, 0},
		"one address, the second registers late": {[]conflictStep{
			{0, connects(1, a)}, {m, connects(2, a)}, {3 * m, registers(1)}, {8 * m, registers(2)},
		}, 8 * m, 0},
		"late data of a dead connection": {[]conflictStep{
			{0, connects(1, a)}, {m, connects(2, a)}, {m + s, registers(2)}, {m + 2*s, registers(1)}, {3 * m, ends(1)},
			{6 * m, registers(2)},
		}, 0, 0},
		"tools with the node's certificate": {[]conflictStep{
			{0, connects(1, a)}, {m, asTool(2, b)}, {2 * m, asTool(3, a)}, {3 * m, registers(3)}, {4 * m, registers(1)},
		}, 0, 0},
		"a third takes over": {[]conflictStep{
			{0, connects(1, a)}, {m, connects(2, b)}, {6 * m, connects(3, b)}, {7 * m, ends(2)}, {8 * m, ends(1)},
		}, 5 * m, 8 * m},
		"events in another order": {[]conflictStep{
			{m, connects(2, b)}, {m, func(r *testRegistry, now time.Time) { r.connectFrom(a, 1, true, now.Add(-m)) }},
		}, 5 * m, 0},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(1_000_000, 0).UTC()
			r := newConflictRegistry(start)
			next := 0
			var times []time.Duration // at which conflicts began and ended
			for at := time.Duration(0); at <= 10*m; at += s / 2 {
				for next < len(test.steps) && test.steps[next].at <= at {
					test.steps[next].do(r, start.Add(test.steps[next].at))
					next++
				}
				r.tick(start.Add(at))
				if in := len(r.conflicts) == 1; in != (len(times)%2 == 1) {
					times = append(times, at)
				}
			}
			var want []time.Duration
			for _, at := range []time.Duration{test.begin, test.end} {
				if at > 0 {
					want = append(want, at)
				}
			}
			if !slices.Equal(times, want) {
				t.Errorf("conflicts began and ended at %v, want %v", times, want)
			}
			if begun, ended := r.count(eventConflict), r.count(eventConflictEnd); begun+ended != len(want) {
				t.Errorf("events %v", r.kinds())
			}
		})
	}
}

// A node that loses its connection and comes back, from the same or another address, is never in
// conflict: its old connection stays open for a while, and what it had sent arrives late.
func TestRegistry_ReconnectsAreNotConflicts(t *testing.T) {
	for round := range uint64(200) {
		random := rand.New(rand.NewPCG(round, 11))
		now := time.Unix(1_000_000, 0).UTC()
		r := newConflictRegistry(now)
		type dying struct {
			id uint64
			at time.Time
		}
		var old []dying
		for id := range uint64(100) {
			r.connectFrom(fmt.Sprint("10.0.0.", random.IntN(3)), id, true, now)
			for range random.IntN(200) {
				now = now.Add(time.Duration(random.IntN(5000)) * time.Millisecond)
				old = slices.DeleteFunc(old, func(d dying) bool {
					if !now.Before(d.at) {
						ends(d.id)(r, now)
						return true
					}
					if random.IntN(20) == 0 {
						r.published("web1", d.id, now)
					}
					return false
				})
				if random.IntN(20) == 0 {
					r.published("web1", id, now)
				}
				r.tick(now)
			}
			old = append(old, dying{id, now.Add(time.Duration(random.Int64N(int64(conflictAfter / 2))))})
		}
		if r.count(eventConflict) > 0 {
			t.Fatalf("round %d: %d conflicts", round, r.count(eventConflict))
		}
	}
}

// The ids of events are the same when they are found again, and a restart during a conflict does not
// begin another.
func TestRegistry_ConflictOutlastsARestart(t *testing.T) {
	start := time.Unix(1_000_000, 0).UTC()
	r := newConflictRegistry(start)
	r.connectFrom("10.0.0.1", 1, true, start)
	r.connectFrom("10.0.0.2", 2, true, start.Add(time.Minute))
	r.tick(start.Add(5 * time.Minute))
	began := r.events[0]
	want := "two nodes use this identity, connected from 10.0.0.1 since 1970-01-12T13:46:40Z and " +
		"from 10.0.0.2 since 1970-01-12T13:47:40Z"
	if began.ID() != fmt.Sprintf("web1/conflict/%d", start.Add(time.Minute).UnixNano()) || began.Reason != want {
		t.Fatalf("%s: %s", began.ID(), began.Reason)
	}
	for name, again := range map[string]bool{"both come back": true, "one comes back": false} {
		t.Run(name, func(t *testing.T) {
			now := start.Add(10 * time.Minute)
			r := newConflictRegistry(now)
			r.setRules(Rules{
				Late: time.Hour, Down: 2 * time.Hour, Forget: 3 * time.Hour, Grace: time.Minute, Started: now,
				Conflict: conflictAfter,
			}, 20, now)
			r.restoreConflict(began)
			c := r.nodes["web1"].conflictOf()
			if c == nil || !strings.Contains(c.String(), "before the appliance was restarted") {
				t.Fatalf("restored: %v", c)
			}
			r.connectFrom("10.0.0.1", 1, true, now.Add(time.Second))
			if again {
				r.connectFrom("10.0.0.2", 2, true, now.Add(20*time.Second))
			}
			r.tick(now.Add(conflictAfter - 1))
			if len(r.events) > 0 {
				t.Fatalf("events %v", r.kinds())
			}
			r.tick(now.Add(conflictAfter))
			r.tick(now.Add(2 * conflictAfter))
			if ended := r.count(eventConflictEnd) == 1; ended == again || len(r.conflicts) == 1 != again || len(r.events) > 1 {
				t.Errorf("events %v", r.kinds())
			}
		})
	}
}

// A node that has not registered causes no events, also if two nodes use its identity.
func TestRegistry_ConnectedNodesAreInConflictOnceTheyRegister(t *testing.T) {
	start := time.Unix(1_000_000, 0).UTC()
	rules := testRules(start)
	rules.Conflict = conflictAfter
	r := newTestRegistry(rules)
	r.connectFrom("10.0.0.1", 1, true, start)
	r.connectFrom("10.0.0.2", 2, true, start)
	r.tick(start.Add(time.Hour))
	if len(r.events) > 0 {
		t.Fatalf("events %v", r.kinds())
	}
	now := start.Add(time.Hour)
	r.registered(update{name: "web1", site: "ams", received: now}, now)
	if want := []string{eventNew, eventConflict}; !slices.Equal(r.kinds(), want) {
		t.Errorf("events %v, want %v", r.kinds(), want)
	}
}

// Two connections of one node, from different addresses of this machine.
func TestFleet_StoresConflictsOfRealConnections(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.conflictAfter = 500 * time.Millisecond
	f := s.open(DefaultConfig())
	s.register(2, func(n int) []byte { return output(n, "1", fileBody(t, "/facts.json", `{}`)) })
	if err := s.broker.Accept(); err != nil {
		t.Fatal(err)
	}
	from2 := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	s.connectNode(0)
	second := s.connectNode(0, nats.SetCustomDialer(from2))
	s.connectNode(1)
	await := func(names ...string) {
		t.Helper()
		wait.Eventually(t, func() error {
			if have := f.Summary().Conflicts; !slices.Equal(have, names) {
				return fmt.Errorf("in conflict: %v, want %v", have, names)
			}
			return nil
		})
	}
	await(nodeName(0))
	n, _ := f.Node(idOf(0))
	if n.Conflict == nil || len(n.Conflict.Connections) != 2 || n.Conflict.Connections[1].Address != "127.0.0.2" ||
		!strings.Contains(n.Reason, "; two nodes use this identity, connected from 127.0.0.1 since ") {
		t.Errorf("%+v", n)
	}
	second.Close()
	await()
	var stored []string
	wait.Eventually(t, func() error {
		page, err := f.Events(t.Context(), EventQuery{Limit: 100})
		stored = nil
		for _, e := range page.Events {
			stored = append(stored, e.Event+" "+e.Node)
		}
		if want := "conflict-end " + nodeName(0); err != nil || !slices.Contains(stored, want) {
			return fmt.Errorf("events %v, want %s: %w", stored, want, err)
		}
		return nil
	})
	if i := slices.Index(stored, "conflict "+nodeName(0)); i < 0 || len(stored) != 4 { // and two are new
		t.Errorf("events %v", stored)
	}
}

// Only nodes with several connections cost the adapters a call, not clients, which usually have four.
func TestRegistry_CountsSharedNames(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newConflictRegistry(now)
	for id := range uint64(4) {
		client := startedConnection{id: connID{"S", 100 + id}, since: now, address: "10.0.0.1"}
		r.connected("choria=rip.mcollective", client, now)
		asTool(id, "10.0.0.1")(r, now)
	}
	check := func(want int) {
		t.Helper()
		if r.shared != want {
			t.Fatalf("%d shared names, want %d", r.shared, want)
		}
	}
	check(0)
	connects(10, "10.0.0.1")(r, now)
	check(0)
	connects(11, "10.0.0.1")(r, now)
	connects(11, "10.0.0.1")(r, now) // the same again
	check(1)
	connects(12, "10.0.0.1")(r, now)
	ends(12)(r, now)
	check(1)
	ends(10)(r, now)
	ends(10)(r, now)
	check(0)
	ends(11)(r, now)
	check(0)
}
