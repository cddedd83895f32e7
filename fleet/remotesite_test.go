package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// testSite drives the sites of a registry: time passes in steps.
type testSite struct {
	*testRegistry
	now time.Time
}

func newTestSite(sites ...string) *testSite {
	now := time.Unix(1_000_000, 0)
	return &testSite{newHubRegistry(now, sites...), now}
}

// pass lets time pass, in ticks.
func (s *testSite) pass(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.tick(s.now) {
		s.now = s.now.Add(time.Second)
	}
}

// beat records a heartbeat of a site, with those of other sites.
func (s *testSite) beat(site string, others ...string) bool {
	hb := &uplink.Heartbeat{Site: site, Time: s.now, Interval: 30}
	for _, other := range others {
		hb.Sites = append(hb.Sites, uplink.Heartbeat{Site: other, Time: s.now, Interval: 30})
	}
	return s.heard(hb, s.now)
}

func (s *testSite) connectEdge(id uint64) {
	s.connected("ams.example.net", startedConnection{id: connID{"S", id}, since: s.now, address: "10.0.0.9"}, s.now)
}

func (s *testSite) disconnectEdge(id uint64) {
	s.disconnected("ams.example.net", connID{"S", id}, s.now, "Stale Connection", s.now)
}

// restart returns the sites of the next process, which has read the events of this one.
func (s *testSite) restart(sites ...string) *testSite {
	next := &testSite{newHubRegistry(s.now, sites...), s.now}
	for i, e := range s.events {
		next.applySiteEvent(e, position{sequence: uint64(i + 1)})
	}
	return next
}

// check compares the emitted events of sites.
func (s *testSite) check(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, e := range s.events {
		got = append(got, e.Site+" "+e.Event)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("events %q, want %q", got, want)
	}
}

func TestRegistry_SiteIsUpWhileHeartbeatsArrive(t *testing.T) {
	s := newTestSite("ams")
	s.pass(time.Hour)
	s.connectEdge(1)
	s.pass(time.Hour)
	s.check(t)
	if state := s.remotes["ams"].state; state != SiteWaiting {
		t.Fatalf("a site that was never heard of is %s", state)
	}
	for range 10 {
		s.beat("ams")
		s.pass(30 * time.Second)
	}
	s.check(t, "ams up")
	s.pass(59 * time.Second)
	s.check(t, "ams up")
	s.pass(time.Hour)
	s.check(t, "ams up", "ams down")
	e := s.events[1]
	if e.Reason != "no heartbeat for 1m30s" || !e.Received.Equal(e.Since.Add(-90*time.Second)) {
		t.Errorf("%+v", e)
	}
	s.beat("ams")
	s.check(t, "ams up", "ams down", "ams up")
}

func TestRegistry_SiteIsDownWhenItsConnectionDoesNotReturn(t *testing.T) {
	s := newTestSite("ams")
	s.connectEdge(1)
	s.connectEdge(2)
	s.beat("ams")
	s.pass(time.Second)
	s.disconnectEdge(1)
	s.pass(25 * time.Second)
	s.beat("ams")
	s.pass(time.Second)
	s.check(t, "ams up") // the other connection is open
	s.disconnectEdge(2)
	s.pass(19 * time.Second)
	s.connectEdge(3)
	s.pass(19 * time.Second)
	s.beat("ams")
	s.pass(time.Second)
	s.check(t, "ams up") // it returned within the grace
	s.disconnectEdge(3)
	s.pass(21 * time.Second)
	s.check(t, "ams up", "ams down")
	if e := s.events[1]; !strings.Contains(e.Reason, "Stale Connection") || !strings.Contains(e.Reason, "within 20s") {
		t.Errorf("reason %q", e.Reason)
	}
	s.connectEdge(4)
	s.pass(10 * time.Second)
	s.check(t, "ams up", "ams down") // a connection alone does not make it up
	s.beat("ams")
	s.pass(20 * time.Second)
	s.check(t, "ams up", "ams down", "ams up")
}

// A restart of the hub causes no event of a site whose state stays what it was.
func TestRegistry_SiteStateSurvivesRestart(t *testing.T) {
	s := newTestSite("ams", "fra")
	s.beat("ams")
	s.beat("fra")
	s.pass(30 * time.Second)
	s.beat("fra")
	s.pass(60 * time.Second)
	if s.remotes["ams"].state != SiteDown || s.remotes["fra"].state != SiteUp {
		t.Fatalf("%s %s", s.remotes["ams"].state, s.remotes["fra"].state)
	}
	next := s.restart("ams", "fra")
	next.pass(80 * time.Second)
	next.check(t)
	if status := next.remotes["ams"].status(); status.State != SiteDown || status.AsOf.IsZero() {
		t.Errorf("%+v", status)
	}
	next.pass(20 * time.Second)
	next.check(t, "fra down")
	next.beat("fra")
	next.beat("ams")
	next.pass(time.Second)
	if len(next.events) != 3 {
		t.Errorf("events %v", next.kinds())
	}
	again := s.restart("ams", "fra")
	again.beat("fra")
	again.pass(80 * time.Second)
	again.check(t)
}

// The hub of an edge that is a hub itself repeats what that one says of its sites.
func TestRegistry_SitesBehindASiteAreJudgedByIt(t *testing.T) {
	s := newTestSite("ams", "ams1", "fra")
	s.setSites(map[string]string{"ams": "ams.example.net", "ams1": "ams.example.net", "fra": "fra"}, s.now)
	s.beat("ams", "ams1", "fra", "other")
	s.pass(time.Second)
	s.check(t, "ams up")
	if other := s.remotes["fra"]; other.state != SiteWaiting || other.via != nil {
		t.Errorf("an edge reports a site of another edge: %+v", other)
	}
	status := s.remotes["ams1"].status()
	if status.State != SiteUp || status.Via != "ams" || status.AsOf.IsZero() {
		t.Errorf("%+v", status)
	}
	event := func(kind string, sequence uint64) {
		s.applyForwarded(&Event{Event: kind, Site: "ams1", Via: "ams", Since: s.now, Reason: "x", forwarded: true},
			position{sequence, newSource("a", sequence)}, s.now)
	}
	event(eventSiteDown, 1)
	event(eventSiteUp, 2)
	event(eventSiteDown, 1) // read again
	if s.remotes["ams1"].state != SiteUp {
		t.Error("an old event counts")
	}
	event(eventSiteDown, 3)
	s.pass(time.Second)
	if s.remotes["ams1"].state != SiteDown {
		t.Error("an event of the site does not count")
	}
	event(eventSiteUp, 4)
	s.pass(2 * time.Minute)
	if status := s.remotes["ams1"].status(); status.State != SiteDown || !strings.Contains(status.Reason, "site ams") {
		t.Errorf("%+v", status)
	}
	s.beat("ams", "ams1")
	s.pass(time.Second)
	if status := s.remotes["ams1"].status(); status.State != SiteUp {
		t.Errorf("%+v", status)
	}
	s.check(t, "ams up", "ams down", "ams up")
	s.beat("ams1") // it connects here now
	s.pass(time.Second)
	if s.remotes["ams1"].via != nil {
		t.Error("the site forwards through another one")
	}
}

func TestRegistry_SiteTimesMoveWithTheClock(t *testing.T) {
	s := newTestSite("ams")
	s.beat("ams")
	s.pass(time.Second)
	s.moveTimes(clockStep{by: time.Hour, before: s.now})
	s.now = s.now.Add(time.Hour)
	s.pass(80 * time.Second)
	s.check(t, "ams up")
	s.pass(20 * time.Second)
	s.check(t, "ams up", "ams down")
}
