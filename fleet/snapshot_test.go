package fleet

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// page returns a page of a snapshot of site ams with these nodes.
func page(number int, last bool, sequence uint64, nodes ...*Event) *uplink.Page {
	p := &uplink.Page{Site: "ams", ID: "s1", Number: number, Last: last, Incarnation: "a", Sequence: sequence}
	for _, e := range nodes {
		data, _ := json.Marshal(e)
		p.Nodes = append(p.Nodes, data)
	}
	return p
}

// applyPages applies pages, none of which may be refused.
func (r *testRegistry) applyPages(t *testing.T, now time.Time, pages ...*uplink.Page) {
	t.Helper()
	for _, p := range pages {
		if err := r.applyPage(p, now); err != nil {
			t.Fatal(err)
		}
	}
}

// A snapshot adds, corrects and removes nodes. It says nothing about a node with a later event.
func TestRegistry_SnapshotCorrectsNodes(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newHubRegistry(now, "ams", "fra")
	for i, to := range []State{Up, Up, Up, Late, Up} {
		r.forward(nodeName(i), to, uint64(i+1), uint64(i+1), "a", now)
	}
	r.forward(nodeName(5), Down, 20, 20, "a", now)    // later than the snapshot
	r.forward(nodeName(6), Up, 21, 21, "a", now)      // added since the snapshot
	r.forward(nodeName(7), Up, 22, 1_000, "0", now)   // of streams that were lost
	r.forward(nodeName(8), Late, 23, 2_000, "0", now) // the same
	at := now.Add(-time.Minute)
	first := page(0, false, 10, forwardedEvent(nodeName(0), Up, at), forwardedEvent(nodeName(1), Down, at),
		forwardedEvent(nodeName(5), Up, at), forwardedEvent(nodeName(8), Up, at))
	second := page(1, true, 30, forwardedEvent(nodeName(3), Late, at), forwardedEvent(nodeName(9), Stopped, at))
	r.applyPages(t, now, first, first, second, second)

	want := map[int]State{0: Up, 1: Down, 2: "", 3: Late, 4: "", 5: Down, 6: Up, 7: "", 8: Up, 9: Stopped}
	for n, state := range want {
		if got := r.stateOf("ams", nodeName(n)); got != state {
			t.Errorf("node %d is %q, want %q", n, got, state)
		}
	}
	events := map[string]State{}
	for _, e := range r.events {
		events[e.Node] = e.To
		if e.Site != "ams" || e.correction == nil || e.correction.snapshot != "s1" {
			t.Errorf("%+v", e)
		}
	}
	if len(r.events) != 6 || events[nodeName(1)] != Down || events[nodeName(2)] != Forgotten ||
		events[nodeName(9)] != Stopped {
		t.Errorf("events %v", events)
	}
	if s := r.remotes["ams"]; s.corrections != 6 || s.counts[Up] != 3 {
		t.Errorf("%d corrections, %v", s.corrections, s.counts)
	}
	// What was on its way when the snapshot was made is older than it.
	r.forward(nodeName(1), Up, 40, 9, "a", now)
	r.forward(nodeName(2), Up, 41, 9, "a", now)
	if r.stateOf("ams", nodeName(1)) != Down || r.stateOf("ams", nodeName(2)) != "" {
		t.Error("an event from before the snapshot counts")
	}
	r.forward(nodeName(1), Up, 42, 31, "a", now)
	if r.stateOf("ams", nodeName(1)) != Up {
		t.Error("an event from after the snapshot does not count")
	}
}

// Pages must follow one another: otherwise the nodes of the missing ones would be removed.
func TestRegistry_SnapshotRefusesPagesOutOfOrder(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newHubRegistry(now, "ams")
	r.forward("web1", Up, 1, 1, "a", now)
	refused := func(p *uplink.Page) {
		t.Helper()
		if r.applyPage(p, now) == nil {
			t.Errorf("page %d of %s is accepted", p.Number, p.ID)
		}
	}
	refused(page(1, true, 5)) // the hub was restarted
	r.applyPages(t, now, page(0, false, 5))
	refused(page(2, true, 5))
	other := page(1, true, 5)
	other.ID = "s2"
	refused(other)
	bad := page(1, true, 5)
	bad.Nodes = []json.RawMessage{[]byte(`{"event":"up","to":"up","site":"ams"}`)}
	refused(bad)
	unreadable := page(1, true, 5)
	unreadable.Nodes = []json.RawMessage{[]byte(`[]`)}
	refused(unreadable)
	r.applyPages(t, now, page(1, true, 5)) // after a page that could not be read it removes none
	if r.stateOf("ams", "web1") != Up || len(r.events) > 0 {
		t.Errorf("the node is %q, events %v", r.stateOf("ams", "web1"), r.kinds())
	}
}

// The snapshot of a site that is a hub itself has the nodes of the sites behind it, and of no others.
func TestRegistry_SnapshotHasNodesOfSitesBehindTheEdge(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newHubRegistry(now, "ams", "ams1", "fra")
	r.setSites(map[string]string{"ams": "a", "ams1": "a", "fra": "f"}, now)
	at := func(site string, to State) *Event {
		e := forwardedEvent("web1", to, now)
		e.Site = site
		return e
	}
	for i, site := range []string{"ams", "ams1", "fra"} {
		r.applyForwarded(at(site, Up), position{uint64(i + 1), newSource("a", uint64(i+1))}, now)
	}
	r.heard(&uplink.Heartbeat{Site: "ams", Sites: []uplink.Heartbeat{{Site: "ams1", Time: now}}}, now)
	r.events = nil
	r.applyPages(t, now, page(0, true, 9, at("ams1", Down), at("fra", Down), at("unlisted", Down)))
	for site, want := range map[string]State{"ams": "", "ams1": Down, "fra": Up} {
		if got := r.stateOf(site, "web1"); got != want {
			t.Errorf("%s: %q, want %q", site, got, want)
		}
	}
	if len(r.events) != 2 {
		t.Errorf("events %v", r.kinds())
	}
}

// The hub asks for a snapshot when two heartbeats in a row have other numbers and no event is on its way.
func TestRegistry_KeepsNodesOfAnEdgeThatLostItsData(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := newHubRegistry(now, "ams")
	r.setSites(map[string]string{"ams": "a"}, now)
	r.forward("web1", Up, 1, 1, "old", now)
	asks := func(incarnation string, up int, at time.Duration) bool {
		return r.heard(&uplink.Heartbeat{
			Site: "ams", Incarnation: incarnation, Nodes: map[string]int{"up": up},
		}, now.Add(at))
	}
	for name, asked := range map[string]bool{
		"before":         asks("old.1", 1, 0) || asks("old.1", 1, time.Minute),
		"after the loss": asks("new.1", 0, 2*time.Minute) || asks("new.1", 0, 3*time.Minute) || asks("new.2", 0, time.Hour),
	} {
		if asked {
			t.Errorf("asks for a snapshot %s", name)
		}
	}
	asks("new.2", 0, 3*time.Hour)
	if !asks("new.2", 0, 3*time.Hour+time.Minute) {
		t.Error("does not ask for a snapshot when the nodes have not registered again")
	}
}

func TestRegistry_AsksForASnapshot(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	hb := func(up, events int) *uplink.Heartbeat {
		return &uplink.Heartbeat{Site: "ams", Nodes: map[string]int{"up": up, "connected": 3}, Events: uint64(events)}
	}
	inner := func(up, events int) *uplink.Heartbeat {
		outer, other := hb(1, 0), hb(up, events)
		other.Site = "ams1"
		outer.Sites = []uplink.Heartbeat{*other}
		return outer
	}
	for name, test := range map[string]struct {
		beats []*uplink.Heartbeat
		want  bool // of the last
	}{
		"equal":                {[]*uplink.Heartbeat{hb(1, 0), hb(1, 0), hb(1, 0)}, false},
		"one differs":          {[]*uplink.Heartbeat{hb(2, 0)}, false},
		"two differ":           {[]*uplink.Heartbeat{hb(2, 0), hb(2, 0)}, true},
		"not in a row":         {[]*uplink.Heartbeat{hb(2, 0), hb(1, 0), hb(2, 0)}, false},
		"events on their way":  {[]*uplink.Heartbeat{hb(2, 1), hb(2, 1), hb(2, 1)}, false},
		"then they arrived":    {[]*uplink.Heartbeat{hb(2, 0), hb(2, 1), hb(2, 0)}, false},
		"asked":                {[]*uplink.Heartbeat{hb(2, 0), hb(2, 0), hb(2, 0)}, false},
		"asked again":          {[]*uplink.Heartbeat{hb(2, 0), hb(2, 0), hb(2, 0), hb(2, 0)}, true},
		"no fleet view":        {[]*uplink.Heartbeat{{Site: "ams"}, {Site: "ams"}, {Site: "ams"}}, false},
		"a site behind":        {[]*uplink.Heartbeat{inner(2, 0), inner(2, 0)}, true},
		"a site behind, equal": {[]*uplink.Heartbeat{inner(0, 0), inner(0, 0)}, false},
		"a site behind, later": {[]*uplink.Heartbeat{inner(2, 1), inner(2, 1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHubRegistry(now, "ams", "ams1")
			r.setSites(map[string]string{"ams": "a", "ams1": "a"}, now)
			r.forward("web1", Up, 1, 1, "a", now)
			got := false
			for i, beat := range test.beats {
				got = r.heard(beat, now.Add(time.Duration(i)*30*time.Second))
			}
			if got != test.want {
				t.Errorf("asks for a snapshot: %v", got)
			}
		})
	}
}
