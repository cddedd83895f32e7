package fleet

import (
	"fmt"
	"testing"
	"time"
)

// connectedSite is a registry with connected nodes of one site.
type connectedSite struct {
	*testRegistry
	now time.Time
}

func newConnectedSite(nodes int) *connectedSite {
	now := time.Unix(1_000_000, 0)
	s := &connectedSite{newTestRegistry(testRules(now.Add(-time.Hour))), now}
	for n := range nodes {
		name := fmt.Sprintf("node%d", n)
		s.registered(update{name: name, site: "ams", received: now}, now)
		s.connect(name, connID{"S", uint64(n)}, now)
	}
	return s
}

// disconnect ends the connections of the nodes from to to-1.
func (s *connectedSite) disconnect(from, to int, at time.Time) {
	for n := from; n < to; n++ {
		s.disconnected(fmt.Sprintf("node%d", n), connID{"S", uint64(n)}, at, "Client Closed", s.now)
	}
}

// wantEvents checks how many down, storm and calm events were emitted.
func (r *testRegistry) wantEvents(t *testing.T, downs, storms, calms int) {
	t.Helper()
	if r.count("down") != downs || r.count(eventStorm) != storms || r.count(eventCalm) != calms {
		t.Fatalf("%d down, %d storm, %d calm events; want %d, %d, %d",
			r.count("down"), r.count(eventStorm), r.count(eventCalm), downs, storms, calms)
	}
}

func TestStorm_ManyNodesDownAreOneStorm(t *testing.T) {
	s := newConnectedSite(1000)
	s.disconnect(0, 500, s.now)
	for range 200 {
		s.now = s.now.Add(time.Second)
		s.tick(s.now)
	}
	s.wantEvents(t, 500, 1, 1)
	for _, e := range s.events {
		if e.Event == eventStorm && (e.Nodes != 500 || e.Of != 1000 || e.Site != "ams" || e.Storm == "") {
			t.Errorf("%+v", e)
		}
	}
}

func TestStorm_BeginsAboveShareOfSite(t *testing.T) {
	s := newConnectedSite(1000)
	s.disconnect(0, 200, s.now)
	s.tick(s.now.Add(20 * time.Second))
	s.wantEvents(t, 200, 0, 0)
	s.disconnect(200, 201, s.now.Add(time.Second))
	s.tick(s.now.Add(21 * time.Second))
	s.wantEvents(t, 201, 1, 0)
}

// Nodes that are connected and have not registered cannot go down, so they hide no storm.
func TestStorm_CountsOnlyRegisteredNodes(t *testing.T) {
	s := newConnectedSite(100)
	for n := range 200 {
		c := startedConnection{id: connID{"S", uint64(1000 + n)}, since: s.now, node: true, named: true}
		s.connected(fmt.Sprintf("new%d", n), c, s.now)
	}
	s.registered(update{name: "new0", site: "ams", received: s.now}, s.now)
	s.registered(update{name: "new1", site: "fra", received: s.now}, s.now)
	if ams, fra := s.site("ams"), s.site("fra"); ams.nodes != 299 || fra.nodes != 1 || fra.registered != 1 {
		t.Fatalf("ams has %d nodes, fra %d, of which %d registered", ams.nodes, fra.nodes, fra.registered)
	}
	s.disconnect(0, 50, s.now)
	s.tick(s.now.Add(20 * time.Second))
	s.wantEvents(t, 50, 1, 0)
	if e := s.events[len(s.events)-1]; e.Event != eventStorm || e.Of != 101 {
		t.Errorf("%+v", e)
	}
}

func TestStorm_OneNodeIsNotStorm(t *testing.T) {
	s := newConnectedSite(1)
	s.disconnect(0, 1, s.now)
	s.tick(s.now.Add(20 * time.Second))
	s.wantEvents(t, 1, 0, 0)
}

func TestStorm_KeepsIDAcrossRestart(t *testing.T) {
	s := newConnectedSite(100)
	s.disconnect(0, 100, s.now)
	now := s.now.Add(20 * time.Second)
	s.tick(now)
	// The process is killed when the storm and 50 of the down events are stored.
	restarted := newTestRegistry(testRules(now))
	var id string
	downs := 0
	for _, e := range s.events {
		switch {
		case e.Event == eventStorm:
			id = e.Storm
			restarted.restoreStorm(e)
		case e.Event == "down" && downs == 50:
		case e.Node != "":
			if e.Event == "down" {
				downs++
			}
			restarted.restore(e)
		}
	}
	for range 20 * 60 {
		now = now.Add(time.Second)
		restarted.tick(now)
	}
	restarted.wantEvents(t, 50, 0, 1)
	for _, e := range restarted.events {
		if e.Event == eventCalm && e.Storm != id {
			t.Errorf("the storm %s ends as %s", id, e.Storm)
		}
	}
}
