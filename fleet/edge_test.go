package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// What an edge says of its nodes, and of those of the sites that forward to it, is what its hub shows.
func TestFleet_SnapshotOfAnEdgeIsReadByItsHub(t *testing.T) {
	const nodes = 2500
	now := time.Unix(1_000_000, 0)
	edge, hub := newIndexedFleet(t, nodes), newHubRegistry(now, "ams", "ams1")
	hub.setSites(map[string]string{"ams": "a", "ams1": "a"}, now)
	edge.opts.SiteEdges = func() map[string]string { return map[string]string{"ams1": "b"} }
	edge.updateSites()
	edge.withRegistry(func(r *registry, now time.Time) {
		r.connected("new", startedConnection{id: connID{"S", 1}, since: now, node: true}, now)
		for n := range 1000 {
			e := forwardedEvent(nodeName(n), States[n%4], now)
			e.Site, e.Address, e.Interval = "ams1", "10.0.0.1", 300
			r.applyForwarded(e, position{uint64(n + 1), newSource("b", 1)}, now)
		}
		r.heard(&uplink.Heartbeat{Site: "ams1", Time: now, Nodes: map[string]int{"up": 1}}, now)
	})
	hb := uplink.Heartbeat{Site: "ams", Time: now, Sites: edge.SiteHeartbeats()}
	hb.Nodes, _ = edge.Counts()
	if len(hb.Sites) != 1 || hb.Sites[0].Nodes["down"] != 250 || hb.Nodes["up"] != nodes {
		t.Fatalf("%+v", hb)
	}
	if hub.heard(&hb, now) || !hub.heard(&hb, now) {
		t.Fatal("the hub does not want a snapshot")
	}
	after, page := "", &uplink.Page{Site: "ams", ID: "s", Incarnation: "i"}
	for ; !page.Last; page.Number++ {
		page.Nodes, after = edge.SnapshotPage(after, 7)
		page.Last = after == ""
		if err := hub.applyPage(page, now); err != nil || len(page.Nodes) == 0 || len(page.Nodes) > 7 {
			t.Fatalf("%d nodes, %v", len(page.Nodes), err)
		}
	}
	hub.heard(&hb, now)
	if hub.heard(&hb, now) {
		t.Error("the hub wants another snapshot")
	}
	for site, want := range map[string]int{"ams": nodes, "ams1": 1000} {
		if got := len(hub.remotes[site].nodes); got != want {
			t.Errorf("%d nodes of %s, want %d", got, site, want)
		}
	}
	all, err := edge.Nodes(Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all.Nodes {
		got := hub.lookup(n.ID())
		switch {
		case n.State == Connected:
			if got != nil {
				t.Errorf("%s is %s at the hub", n.Name, got.announced)
			}
		case got == nil || got.announced != n.State || !got.since.Equal(n.Since) || !got.Received.Equal(n.Registered) ||
			got.remote.reason.Value() != n.Reason || got.remote.address != n.Connection.Address:
			t.Fatalf("%+v at the edge, %+v at the hub", n, got)
		}
	}
}

// A page ends before it is too large for one message.
func TestFleet_SnapshotPagesAreSmall(t *testing.T) {
	edge := newIndexedFleet(t, 5000)
	seen, after := 0, ""
	for pages := 1; ; pages++ {
		nodes, next := edge.SnapshotPage(after, 5000)
		bytes := 0
		for _, n := range nodes {
			bytes += len(n)
		}
		if bytes > maxSnapshotBytes+1000 {
			t.Fatalf("a page has %d bytes", bytes)
		}
		seen += len(nodes)
		if after = next; after == "" {
			if seen != 5000 || pages < 2 {
				t.Error(fmt.Errorf("%d nodes on %d pages", seen, pages))
			}
			return
		}
	}
}
