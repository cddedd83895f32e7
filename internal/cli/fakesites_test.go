package cli

import (
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/uplink"
)

// anEdge forwards to two hubs: one is connected, with a stream that the hub does not accept; the other is not.
func anEdge() *fakeAppliance {
	a := noNodes()
	a.hubs = []console.ForwardStatus{
		{
			Hub: "central", Servers: []string{"tls://hub.example.net:4222"}, Connected: true, Since: hoursAgo(30),
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
			Hub: "spare", Servers: []string{"tls://spare1.example.net:4222", "tls://spare2.example.net:4222"},
			Since: hoursAgo(2), Error: "dial tcp 192.0.2.9:4222: i/o timeout", Paused: true,
			Streams: map[string]uplink.Stream{contract.StreamRegistration: {
				Mode: "sampled", Read: 9, Forwarded: 3, Sampled: 4, Pending: 1, Position: 8, Last: 9, OldestSeconds: 7300,
				Paused: true,
			}},
		},
	}
	return a
}
