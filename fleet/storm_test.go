package fleet

import (
	"fmt"
	"testing"
	"time"
)

// busy is a book of so many connected nodes of a site.
func busy(rules Rules, nodes int, now time.Time) *watched {
	w := newWatched(rules)
	for n := range nodes {
		name := fmt.Sprintf("node%d", n)
		w.registered(update{name: name, site: "ams", received: now}, now)
		w.connected(name, openConnection{connID{"S", uint64(n)}, now, "10.0.0.1", true}, now)
	}
	return w
}

func (w *watched) count(event string) (n int) {
	for _, e := range w.events {
		if e.Event == event {
			n++
		}
	}
	return n
}

func TestManyGoneAtOnceAreOneStorm(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	w := busy(testRules(now.Add(-time.Hour)), 1000, now)
	for n := range 500 {
		w.disconnected(fmt.Sprintf("node%d", n), connID{"S", uint64(n)}, now, "Client Closed", now)
	}
	for range 200 {
		now = now.Add(time.Second)
		w.tick(now)
	}
	if w.count("down") != 500 || w.count(eventStorm) != 1 || w.count(eventCalm) != 1 {
		t.Fatalf("%d down, %d storms, %d ends", w.count("down"), w.count(eventStorm), w.count(eventCalm))
	}
	for _, e := range w.events {
		if e.Event == eventStorm && (e.Nodes != 500 || e.Of != 1000 || e.Site != "ams" || e.Storm == "") {
			t.Errorf("have %+v", e)
		}
	}
}

func TestAFifthOfASiteIsNoStorm(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	w := busy(testRules(now.Add(-time.Hour)), 1000, now)
	for n := range 200 {
		w.disconnected(fmt.Sprintf("node%d", n), connID{"S", uint64(n)}, now, "Client Closed", now)
	}
	w.tick(now.Add(20 * time.Second))
	if w.count("down") != 200 || w.count(eventStorm) != 0 {
		t.Fatalf("%d down, %d storms", w.count("down"), w.count(eventStorm))
	}
	w.disconnected("node200", connID{"S", 200}, now.Add(time.Second), "Client Closed", now)
	w.tick(now.Add(21 * time.Second))
	if w.count(eventStorm) != 1 {
		t.Error("one more makes none")
	}
}

func TestOneNodeIsNoStorm(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	w := busy(testRules(now.Add(-time.Hour)), 1, now)
	w.disconnected("node0", connID{"S", 0}, now, "Client Closed", now)
	w.tick(now.Add(20 * time.Second))
	if w.count("down") != 1 || w.count(eventStorm) != 0 {
		t.Errorf("%v", w.told())
	}
}

func TestAStormKeepsItsIDOverARestart(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	w := busy(testRules(now.Add(-time.Hour)), 100, now)
	for n := range 100 {
		w.disconnected(fmt.Sprintf("node%d", n), connID{"S", uint64(n)}, now, "Client Closed", now)
	}
	now = now.Add(20 * time.Second)
	w.tick(now)
	// Killed half way: the storm and 50 nodes have been told of.
	again := newWatched(testRules(now))
	var id string
	downs := 0
	for _, e := range w.events {
		switch {
		case e.Event == eventStorm:
			id = e.Storm
			again.restoreStorm(e)
		case e.Event == "down" && downs == 50:
		case e.Node != "":
			if e.Event == "down" {
				downs++
			}
			again.restore(e)
		}
	}
	for range 20 * 60 {
		now = now.Add(time.Second)
		again.tick(now)
	}
	if again.count("down") != 50 || again.count(eventStorm) != 0 || again.count(eventCalm) != 1 {
		t.Fatalf("%d down, %d storms, %d ends", again.count("down"), again.count(eventStorm), again.count(eventCalm))
	}
	for _, e := range again.events {
		if e.Event == eventCalm && e.Storm != id {
			t.Errorf("the storm %s ends as %s", id, e.Storm)
		}
	}
}
