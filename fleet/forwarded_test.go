package fleet

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// newHubRegistry returns the registry of a hub for these sites. The edge of each has the name of the site and
// ".example.net".
func newHubRegistry(now time.Time, sites ...string) *testRegistry {
	r := newTestRegistry(testRules(now))
	r.home = "hub"
	edges := map[string]string{}
	for _, site := range sites {
		edges[site] = site + ".example.net"
	}
	r.setSites(edges, now)
	return r
}

// forwardedEvent returns an event of a node of site ams.
func forwardedEvent(node string, to State, since time.Time) *Event {
	return &Event{
		Event: string(to), Node: node, To: to, Site: "ams", Since: since, Received: since, Reason: "test", forwarded: true,
	}
}

// forward applies that a node of site ams changed to a state.
func (r *testRegistry) forward(node string, to State, sequence, source uint64, incarnation string, now time.Time) {
	r.applyForwarded(forwardedEvent(node, to, now), position{sequence, newSource(incarnation, source)}, now)
}

// stateOf returns the state of a node of a site as it is shown; empty: it is not in the view.
func (r *testRegistry) stateOf(site, node string) State {
	n := r.lookup(NodeID{site, node})
	if n == nil {
		return ""
	}
	return n.announced
}

func TestRegistry_AppliesForwardedEventsInOrder(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	type event struct {
		to               State
		sequence, source uint64
		incarnation      string
	}
	for name, test := range map[string]struct {
		events []event
		want   State
	}{
		"in order":                    {[]event{{Up, 1, 1, "a"}, {Down, 2, 2, "a"}}, Down},
		"read again":                  {[]event{{Up, 1, 1, "a"}, {Down, 2, 2, "a"}, {Up, 1, 1, "a"}}, Down},
		"stored twice":                {[]event{{Up, 1, 1, "a"}, {Down, 2, 2, "a"}, {Up, 3, 1, "a"}}, Down},
		"forgotten":                   {[]event{{Up, 1, 1, "a"}, {Forgotten, 2, 2, "a"}}, ""},
		"stored twice, but forgotten": {[]event{{Up, 1, 1, "a"}, {Forgotten, 2, 2, "a"}, {Up, 3, 1, "a"}}, ""},
		"back after it was forgotten": {[]event{{Up, 1, 1, "a"}, {Forgotten, 2, 2, "a"}, {Up, 3, 3, "a"}}, Up},
		"another incarnation":         {[]event{{Up, 1, 100, "a"}, {Down, 2, 1, "b"}}, Down},
		"no source":                   {[]event{{Up, 1, 0, ""}, {Down, 2, 0, ""}}, Down},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHubRegistry(now, "ams")
			for _, e := range test.events {
				r.forward("web1", e.to, e.sequence, e.source, e.incarnation, now)
			}
			if got := r.stateOf("ams", "web1"); got != test.want {
				t.Errorf("the node is %q, want %q", got, test.want)
			}
		})
	}
}

// What an edge has forwarded stays as it is, however much time passes; it causes no events and no storm.
func TestRegistry_TimeChangesNoForwardedNode(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newHubRegistry(now, "ams")
	for n := range 100 {
		r.forward(nodeName(n), States[n%4], uint64(n+1), uint64(n+1), "a", now)
	}
	r.setRules(r.rules, 1, now)
	for range 100 {
		now = now.Add(time.Hour)
		r.moveTimes(clockStep{by: time.Minute, before: now})
		r.tick(now)
	}
	if got := r.remotes["ams"].counts; got[Up] != 25 || got[Late] != 25 || got[Down] != 25 || got[Stopped] != 25 {
		t.Errorf("states %v", got)
	}
	if len(r.events) > 0 || r.byName.Len() != 100 || len(r.schedule.nodes) != 0 {
		t.Errorf("events %v, %d nodes, %d times", r.kinds(), r.byName.Len(), len(r.schedule.nodes))
	}
	if n := r.lookup(NodeID{"ams", nodeName(0)}); !n.since.Equal(time.Unix(1_000_000, 0)) {
		t.Errorf("since %s", n.since)
	}
}

// A registration that arrives before the first event of its node does not show it, and its facts are known then.
func TestRegistry_ForwardedRegistrationsOnlyHaveFacts(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newHubRegistry(now, "ams")
	facts := &indexedFacts{}
	u := update{name: "web1", site: "ams", forwarded: true, received: now, facts: facts}
	r.registered(u, now)
	if r.stateOf("ams", "web1") != "" || r.byName.Len() != 0 {
		t.Fatal("a registration shows a node")
	}
	r.forward("web1", Down, 1, 1, "a", now.Add(-time.Minute))
	n := r.lookup(NodeID{"ams", "web1"})
	if n == nil || n.announced != Down || n.facts != facts || !n.Received.Equal(now) {
		t.Fatalf("%+v", n)
	}
	u.received = now.Add(time.Minute)
	r.registered(u, now.Add(time.Minute))
	if n.announced != Down || !n.Received.Equal(u.received) {
		t.Errorf("%s, registered %s", n.announced, n.Received)
	}
	r.forward("web1", Forgotten, 2, 2, "a", now)
	r.tick(now.Add(2 * hiddenTime))
	if len(r.remotes["ams"].hidden) > 0 {
		t.Error("the node is still hidden")
	}
	u.site = "fra" // not listed
	r.registered(u, now)
	if len(r.events) > 0 || len(r.nodes) > 0 {
		t.Errorf("events %v, %d nodes of this appliance", r.kinds(), len(r.nodes))
	}
}

func TestRegistry_ForwardedConflictsAreShown(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newHubRegistry(now, "ams")
	conflict := func(kind string, sequence uint64) {
		e := &Event{Event: kind, Node: "web1", Site: "ams", Since: now, Reason: "two nodes"}
		r.applyForwarded(e, position{sequence, newSource("a", sequence)}, now)
	}
	s := r.remotes["ams"]
	r.forward("web1", Up, 1, 1, "a", now)
	conflict(eventConflict, 2)
	r.forward("web1", Late, 3, 3, "a", now)
	if n := s.nodes["web1"]; s.conflicts["web1"] != n || n.conflictOf().String() != "two nodes" || n.announced != Late {
		t.Fatalf("%+v", n)
	}
	conflict(eventConflictEnd, 4)
	if n := s.nodes["web1"]; len(s.conflicts) > 0 || n.conflictOf() != nil {
		t.Fatalf("%+v", n)
	}
	conflict(eventConflict, 5)
	r.forward("web1", Forgotten, 6, 6, "a", now)
	if len(s.conflicts) > 0 {
		t.Error("a forgotten node is in conflict")
	}
}

// The nodes of a site that is not listed any more leave the view; those of others stay.
func TestRegistry_RemovesNodesOfUnlistedSites(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newHubRegistry(now, "ams", "fra")
	r.forward("web1", Up, 1, 1, "a", now)
	r.registered(update{name: "web1", site: "hub", received: now}, now)
	if r.setSites(map[string]string{"fra": "fra.example.net"}, now) {
		t.Error("a site is new")
	}
	if r.stateOf("ams", "web1") != "" || r.stateOf("", "web1") != Up || r.byName.Len() != 1 {
		t.Errorf("%d nodes", r.byName.Len())
	}
	r.forward("web1", Up, 2, 2, "a", now)
	if !r.setSites(map[string]string{"ams": "b", "fra": "fra.example.net"}, now) {
		t.Error("no site is new")
	}
	if r.stateOf("ams", "web1") != "" || len(r.remotes) != 2 {
		t.Error("an event of a site that is not listed was applied")
	}
}

// However events are read, twice and again from the start, each node has the state of its last one.
func TestRegistry_ForwardedNodesMatchModel(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			now := time.Unix(1_000_000, 0)
			r := newHubRegistry(now, "ams")
			type stored struct {
				e  *Event
				at position
			}
			var stream []stored
			want := map[string]State{}
			states := slices.Concat(States[:4], []State{Forgotten})
			store := func(e *Event, source source) {
				stream = append(stream, stored{e, position{uint64(len(stream) + 1), source}})
			}
			for sequence := range uint64(200) {
				node := nodeName(random.IntN(10))
				to := states[random.IntN(len(states))]
				incarnation := fmt.Sprint(sequence / 80)
				e := forwardedEvent(node, to, now.Add(time.Duration(sequence)*time.Second))
				store(e, newSource(incarnation, sequence%80))
				if want[node] = to; to == Forgotten {
					delete(want, node)
				}
				if again := stream[random.IntN(len(stream))]; random.IntN(3) == 0 &&
					again.at.source.incarnation == stream[len(stream)-1].at.source.incarnation {
					store(again.e, again.at.source)
				}
			}
			for read := 0; read < len(stream); {
				if random.IntN(50) == 0 {
					read = random.IntN(read + 1) // the feed starts again
				}
				r.applyForwarded(stream[read].e, stream[read].at, now)
				read++
			}
			got, counts := map[string]State{}, map[State]int{}
			for name, n := range r.remotes["ams"].nodes {
				got[name] = n.announced
				counts[n.announced]++
			}
			if !maps.Equal(got, want) || r.byName.Len() != len(want) {
				t.Errorf("%d nodes %v, want %v", r.byName.Len(), got, want)
			}
			for _, state := range States {
				if r.remotes["ams"].counts[state] != counts[state] {
					t.Errorf("counts %v, want %v", r.remotes["ams"].counts, counts)
				}
			}
		})
	}
}

func TestParseEvent_OfSites(t *testing.T) {
	node := `{"event":"down","node":"web1","to":"down","site":"x"}`
	for name, test := range map[string]struct {
		subject, data, site, via string
	}{
		"node":                 {"choria.sites.ams.muster.fleet.node.down.web1", node, "ams", ""},
		"own node":             {"muster.fleet.node.down.web1", node, "x", ""},
		"site":                 {"choria.sites.ams.muster.fleet.site.storm.ams", `{"event":"storm","site":"ams"}`, "ams", ""},
		"site behind the edge": {"choria.sites.ams.muster.fleet.site.up.fra", `{"event":"up","site":"fra"}`, "fra", "ams"},
		"forged via":           {"muster.fleet.site.down.x", `{"event":"down","site":"x","via":"y","sequence":7}`, "x", ""},
		"other node":           {"choria.sites.ams.muster.fleet.node.down.web2", node, "", ""},
		"other event":          {"choria.sites.ams.muster.fleet.node.up.web1", node, "", ""},
		"sites twice":          {"choria.sites.ams.choria.sites.ams.muster.fleet.node.down.web1", node, "", ""},
		"registration":         {"choria.sites.ams.choria.node_metadata.web1", node, "", ""},
		"bad name":             {"muster.fleet.node.down.a/b", strings.Replace(node, "web1", "a/b", 1), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := parseEvent(test.subject, []byte(test.data))
			if test.site == "" {
				if err == nil {
					t.Fatalf("%+v", e)
				}
				return
			}
			if err != nil || e.Site != test.site || e.Via != test.via || e.Sequence != 0 {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
}

func TestParseSource_ReadsWhatHeaderWrites(t *testing.T) {
	s := newSource("i1", 12)
	if got := parseSource(s.header("ams", time.Unix(1, 0))); got != s {
		t.Errorf("%v, want %v", got, s)
	}
	tooLong := "A 1 ams " + strings.Repeat("i", 65) + " 1"
	for _, text := range []string{"", "A", "A 1 ams", "A x ams i1 1", "A -1 ams i1 1", tooLong} {
		if got := parseSource(text); got != (source{}) {
			t.Errorf("%q: %v", text, got)
		}
	}
}
