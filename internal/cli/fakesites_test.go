package cli

import (
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/uplink"
)

// anEdge forwards to two hubs: one is connected, with a stream that the hub does not accept; the other is not.
func anEdge() *fakeAppliance {
	a := noNodes()
	a.hubs = []forward.Status{
		{
			Hub: "central", Site: "hq", Servers: []string{"tls://hub.example.net:4222"}, Connected: true, Since: hoursAgo(30),
			Heartbeat: hoursAgo(1), Streams: map[string]uplink.Stream{
				contract.StreamRegistration: {
					Mode: "changed", Read: 12345, Forwarded: 1000, Duplicate: 2, Unchanged: 11000, Superseded: 300,
					Rejected: 1, Pending: 42, Position: 12303, Last: 12360, Unread: 15, OldestSeconds: 720,
					BytesForwarded: 6 << 20, BytesPerSecond: 2048, Stalled: "maximum bytes exceeded",
				},
				contract.StreamFleet: {Mode: "all", Read: 7, Forwarded: 7, Position: 7, Last: 7},
			},
		},
		{
			Hub: "spare", Servers: []string{"wss://spare1.example.net/nats", "wss://spare2.example.net"},
			Proxy: "http://proxy.example.net:3128",
			Since: hoursAgo(2), Unrecorded: 3, Error: "dial tcp 192.0.2.9:4222: i/o timeout", Paused: true,
			Streams: map[string]uplink.Stream{contract.StreamRegistration: {
				Mode: "sampled", Read: 9, Forwarded: 3, Sampled: 4, Pending: 1, Position: 8, Last: 9, OldestSeconds: 7300,
				Paused: true,
			}},
		},
	}
	return a
}

// Sites returns the site of the appliance, and those that forward to it.
func (a *fakeAppliance) Sites() []fleet.SiteStatus {
	home := fleet.SiteStatus{
		Site: "ams", Home: true, State: fleet.SiteUp, Since: hoursAgo(75), Reason: "the site of this appliance",
		AsOf: time.Now().UTC(), Nodes: map[fleet.State]int{},
	}
	for _, n := range a.nodes {
		if n.AsOf.IsZero() {
			home.Nodes[n.State]++
		}
	}
	return append([]fleet.SiteStatus{home}, a.sites...)
}

func (a *fakeAppliance) Site(name string) (s fleet.SiteStatus, known bool) {
	for _, s := range a.Sites() {
		if s.Site == name {
			return s, true
		}
	}
	return s, false
}

func (a *fakeAppliance) Named(name string) (named []fleet.NodeStatus) {
	for _, n := range a.nodes {
		if n.Name == name {
			named = append(named, n)
		}
	}
	return named
}

// aHub has four sites that forward to it: fra is up and forwards for lab, nyc is down, and sin has not been heard of.
// fra has a node of the same name as ams.
func aHub() *fakeAppliance {
	a := fiveNodes()
	a.ready, a.warnings = nil, nil
	a.nodes[1].Site = "ams"
	a.nodes = append(a.nodes,
		fleet.NodeStatus{
			Name: "web2.example.net", State: fleet.Late, Since: hoursAgo(2), Reason: reasonLate, Site: "fra",
			AsOf: hoursAgo(1), LagSeconds: 3.25, Registered: hoursAgo(3),
			Connection: fleet.Connection{Connected: "yes", Since: hoursAgo(9), Address: "198.51.100.7", Verified: true},
		},
		fleet.NodeStatus{
			Name: "web5.example.net", State: fleet.Up, Since: hoursAgo(30), Reason: "registered", Site: "nyc",
			AsOf: hoursAgo(6), Registered: hoursAgo(7),
		})
	registrations := uplink.Stream{
		Mode: "changed", Read: 7, Forwarded: 3, Unchanged: 2, Pending: 2, Position: 95, Last: 107, Unread: 10,
		OldestSeconds: 3.25,
	}
	a.sites = []fleet.SiteStatus{
		{
			Site: "fra", State: fleet.SiteUp, Since: hoursAgo(48), Reason: "heartbeats arrive", AsOf: hoursAgo(1),
			Edge: "collector1.fra.example.net", Nodes: map[fleet.State]int{fleet.Late: 1}, Connected: true,
			Address: "198.51.100.1", Version: "1.2.2", Incarnation: "Qm7XeR", LagMessages: 12, LagSeconds: 3.25,
			ClockSeconds: -90, Streams: map[string]uplink.Stream{contract.StreamRegistration: registrations},
			Adapters: map[string]uplink.Ledger{"registration": {
				Received: 40, Stored: 30, Duplicate: 1, Rejected: map[string]uint64{"bad-sender": 2, "refused": 3},
				Dropped: map[string]uint64{"buffer": 4},
			}},
			Disk: uplink.Disk{Used: 70 << 20, Free: 9 << 30}, Corrections: 2,
		},
		{
			Site: "lab", State: fleet.SiteUp, Since: hoursAgo(48), Reason: "heartbeats arrive", AsOf: hoursAgo(1),
			Edge: "collector1.fra.example.net", Via: "fra", Nodes: map[fleet.State]int{}, Version: "1.2.2", Incarnation: "b2C",
		},
		{
			Site: "nyc", State: fleet.SiteDown, Since: hoursAgo(5),
			Reason: "the connection of its edge ended and did not return within 20s", AsOf: hoursAgo(6),
			Edge: "collector1.nyc.example.net", Nodes: map[fleet.State]int{fleet.Up: 1}, Version: "1.2.3", Incarnation: "x9",
			LagSeconds: 9000, LagMessages: 1,
		},
		{
			Site: "sin", State: fleet.SiteWaiting, Reason: "not heard of yet", Edge: "collector1.sin.example.net",
			Nodes: map[fleet.State]int{},
		},
	}
	a.events = append(a.events,
		&fleet.Event{
			Event: "down", Reason: a.sites[2].Reason, Since: hoursAgo(5), Site: "nyc", Sequence: 11,
		},
		&fleet.Event{
			Event: "late", Node: "web2.example.net", From: fleet.Up, To: fleet.Late, Reason: reasonLate,
			Since: hoursAgo(2), Site: "fra", Sequence: 12,
		})
	return a
}
