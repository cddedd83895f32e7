package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// provision records that a connection of a node in provisioning began.
func (r *testRegistry) provision(id uint64, name string, now time.Time) {
	r.began(&Conn{Server: "S", ID: id, Name: name, Address: "10.0.0.9", Kind: KindProvisioning, Began: now}, now)
}

func TestProvisioning_NeverChangesANode(t *testing.T) {
	now := time.Unix(1_000_000, 0).UTC()
	r := newTestRegistry(testRules(now))
	r.registered(update{name: "web1", site: "ams", received: now}, now)
	r.connect("web1", connID{"S", 1}, now)
	r.connect("web2", connID{"S", 2}, now) // connected, and has not registered
	before, events := fmt.Sprintf("%+v %+v", *r.nodes["web1"], *r.nodes["web2"]), len(r.events)
	for id, name := range map[uint64]string{11: "web1", 12: "web2", 13: "web3", 14: "web1"} {
		r.provision(id, name, now)
	}
	for _, id := range []uint64{11, 12, 13} {
		r.disconnected("web1", connID{"S", id}, now, "Client Closed", now)
	}
	r.tick(now)
	if after := fmt.Sprintf("%+v %+v", *r.nodes["web1"], *r.nodes["web2"]); after != before || len(r.events) != events {
		t.Errorf("%s\n%s\nevents %v", before, after, r.kinds())
	}
	if r.counts[Provisioning] != 1 || len(r.provisioning) != 1 || r.byName.Len() != 3 || r.connections["web3"] != nil {
		t.Errorf("%v in provisioning, %d listed of all", r.counts, r.byName.Len())
	}
}

// TestProvisioning_ProvisionedNodeIsOneNode registers a node after it was in provisioning under its name.
func TestProvisioning_ProvisionedNodeIsOneNode(t *testing.T) {
	now := time.Unix(1_000_000, 0).UTC()
	r := newTestRegistry(testRules(now))
	r.provision(1, "web1", now)
	if n := r.lookup(NodeID{Name: "web1"}); n == nil || n.announced != Provisioning {
		t.Fatalf("%+v", n)
	}
	r.disconnected("web1", connID{"S", 1}, now, "Client Closed", now)
	r.connect("web1", connID{"S", 2}, now)
	r.registered(update{name: "web1", site: "ams", received: now}, now)
	if n := r.lookup(NodeID{Name: "web1"}); n == nil || n.announced != Up || r.byName.Len() != 1 {
		t.Errorf("%+v of %d", n, r.byName.Len())
	}
	if kinds := r.kinds(); len(kinds) != 1 || r.counts[Provisioning] != 0 {
		t.Errorf("events %v, %v", kinds, r.counts)
	}
}

func TestProvisioning_IsBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0).UTC()
	r := newTestRegistry(testRules(now))
	const unlisted = 3
	for id := range uint64(maxProvisioning + unlisted) {
		r.provision(id, "web1", now)
	}
	r.provision(maxProvisioning+unlisted, "not a name", now)
	check := func(want, listed int) {
		t.Helper()
		if r.counts[Provisioning] != want || r.byName.Len() != listed || r.listedProvisioning != listed {
			t.Errorf("%d counted, %d listed; want %d, %d", r.counts[Provisioning], r.byName.Len(), want, listed)
		}
	}
	check(maxProvisioning+unlisted+1, maxProvisioning)
	r.disconnected("", connID{"S", maxProvisioning}, now, "Client Closed", now) // is not listed
	r.disconnected("", connID{"S", 0}, now, "Client Closed", now)
	check(maxProvisioning+unlisted-1, maxProvisioning-1)
	r.provision(maxProvisioning+unlisted+1, "web2", now)
	check(maxProvisioning+unlisted, maxProvisioning)
	for id := range uint64(maxProvisioning + unlisted + 2) {
		r.disconnected("", connID{"S", id}, now, "Client Closed", now)
	}
	check(0, 0)
}

// TestProvisioning_AppliesListing misses a beginning and an end, and does not list the provisioner.
func TestProvisioning_AppliesListing(t *testing.T) {
	now := time.Unix(1_000_000, 0).UTC()
	r := newTestRegistry(testRules(now))
	r.provision(1, "web1", now)
	listed := []Conn{
		{Server: "S", ID: 2, Name: "web2", Kind: KindProvisioning, Began: now},
		{Server: "S", ID: 3, Name: "web3", User: "web3", Kind: KindProvisioner, Began: now},
	}
	for _, want := range []int{2, 0} {
		if n := r.applyListing(r.beginListing(), listed, now, now); n != want {
			t.Errorf("%d differences, want %d", n, want)
		}
	}
	if r.counts[Provisioning] != 1 || r.lookup(NodeID{Name: "web2"}) == nil || len(r.connections) != 0 {
		t.Errorf("%v, connections %v", r.counts, r.connections)
	}
}

func TestProvisioning_MovesWithTheClock(t *testing.T) {
	now := time.Unix(1_000_000, 0).UTC()
	r := newTestRegistry(testRules(now))
	r.provision(1, "web1", now)
	r.moveTimes(clockStep{by: time.Hour, before: now})
	if n := r.lookup(NodeID{Name: "web1"}); !n.since.Equal(now.Add(time.Hour)) || !n.connections.since.Equal(n.since) {
		t.Errorf("since %s, connected since %s", n.since, n.connections.since)
	}
}

// TestProvisioning_IsQueriedByItsState pages through nodes of the same names in both states.
func TestProvisioning_IsQueriedByItsState(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	f.withRegistry(func(r *registry, now time.Time) {
		for n := range 3 {
			r.registered(update{name: nodeName(n), site: "ams", received: now}, now)
		}
		for id := range uint64(9) {
			tr := &testRegistry{registry: r}
			tr.provision(100+id, nodeName(int(id)/2), now)
		}
	})
	for name, test := range map[string]struct {
		query      Query
		want, each int // nodes, and at most how many of a name
	}{
		"without a state": {Query{}, 3, 1},
		"its state":       {Query{States: []State{Provisioning}}, 9, 2},
		"two states":      {Query{States: []State{Up, Provisioning}}, 12, 3},
		"its name":        {Query{States: []State{Provisioning}, Text: nodeName(4)}, 1, 1},
		"facts":           {Query{States: []State{Provisioning}, Classes: []string{"x"}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, limit := range []int{0, 1, 2} {
				test.query.Limit, test.query.After = limit, ""
				found, names := 0, map[string]int{}
				for more := true; more; more = test.query.After != "" {
					page, err := f.Nodes(test.query)
					if err != nil {
						t.Fatal(err)
					}
					for _, n := range page.Nodes {
						found++
						names[n.Name]++
						taken := n.State == Provisioning && n.Name <= nodeName(2)
						if n.NameTaken != taken || n.State == Provisioning && n.Connection.Verified {
							t.Errorf("%+v", n)
						}
					}
					test.query.After = page.Next
				}
				most := 0
				for _, n := range names {
					most = max(most, n)
				}
				if found != test.want || most != test.each {
					t.Errorf("limit %d: found %d, %d of a name; want %d, %d", limit, found, most, test.want, test.each)
				}
			}
		})
	}
	page, err := f.Nodes(Query{States: []State{Provisioning}, Sort: "-since", Limit: 5})
	if err != nil || len(page.Nodes) != 5 {
		t.Errorf("%d nodes, sorted by time, %v", len(page.Nodes), err)
	}
	sum := f.Summary()
	if sum.Nodes != 3 || sum.States[Provisioning] != 9 || sum.Sites["ams"] != 3 {
		t.Errorf("%+v", sum)
	}
}

// TestProvisioning_IsCountedAtTheHub sends the numbers of an edge in a heartbeat to its hub.
func TestProvisioning_IsCountedAtTheHub(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	f.withRegistry(func(r *registry, now time.Time) {
		(&testRegistry{registry: r}).provision(1, nodeName(1), now)
	})
	nodes, _ := f.Counts()
	if nodes[string(Provisioning)] != 1 {
		t.Fatalf("%v", nodes)
	}
	if page, _ := f.SnapshotPage("", 10); len(page) != 0 {
		t.Errorf("snapshot %s", page)
	}
	now := time.Unix(1_000_000, 0).UTC()
	hub := newTestRegistry(testRules(now))
	hub.setSites(map[string]string{"ams": "edge1"}, now)
	for range 3 {
		if hub.heard(&uplink.Heartbeat{Site: "ams", Time: now, Interval: 30, Nodes: nodes}, now) {
			t.Error("asks for a snapshot")
		}
	}
	if status := hub.remotes["ams"].status(); status.Nodes[Provisioning] != 1 || hub.byName.Len() != 0 {
		t.Errorf("%+v", status)
	}
	for range 3 { // numbers that cannot be
		nodes[string(Provisioning)] = -1
		if hub.heard(&uplink.Heartbeat{Site: "ams", Time: now, Interval: 30, Nodes: nodes}, now) {
			t.Error("asks for a snapshot")
		}
	}
	if n := hub.remotes["ams"].status().Nodes[Provisioning]; n != 0 {
		t.Errorf("%d in provisioning", n)
	}
}
