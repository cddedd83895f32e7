package fleet

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

func TestRegistry_AppliesListing(t *testing.T) {
	start := time.Unix(1_000_000, 0).UTC()
	at := start.Add(time.Minute)
	open := func(id uint64, name string) Conn {
		return Conn{Server: "S", ID: id, User: name, Address: "10.0.0.1", Began: start}
	}
	ended := func(c Conn, end time.Time, reason string) Conn {
		c.Ended, c.Reason = end, reason
		return c
	}
	for name, test := range map[string]struct {
		during      func(r *testRegistry) // between the listing and its application
		listed      []Conn
		differences int
		connected   []string // after the listing; node1 and node2 are connected before
		ended       time.Time
		reason      string // of the end of node1
	}{
		"nothing missed": {listed: []Conn{open(1, "node1"), open(2, "node2")}, connected: []string{"node1", "node2"}},
		"end missed":     {nil, []Conn{open(2, "node2")}, 1, []string{"node2"}, at, missedEnd},
		"end missed that the broker remembers": {
			nil, []Conn{ended(open(1, "node1"), start.Add(time.Second), "Client Closed"), open(2, "node2")},
			1, []string{"node2"}, start.Add(time.Second), "Client Closed",
		},
		"beginning missed": {
			nil, []Conn{open(1, "node1"), open(2, "node2"), open(3, "node3")},
			1, []string{"node1", "node2", "node3"}, time.Time{}, "",
		},
		"reconnect missed": {
			nil, []Conn{ended(open(1, "node1"), at, "Stale Connection"), open(2, "node2"), open(3, "node1")},
			2, []string{"node1", "node2"}, time.Time{}, "",
		},
		"beginning and end missed": {
			nil, []Conn{open(1, "node1"), open(2, "node2"), ended(open(3, "node3"), at, "Client Closed")},
			0, []string{"node1", "node2"}, time.Time{}, "",
		},
		"ended while the list was made": {
			nil, []Conn{open(1, "node1"), ended(open(1, "node1"), at, "Client Closed"), open(2, "node2")},
			1, []string{"node2"}, at, "Client Closed",
		},
		"began after the listing": {
			func(r *testRegistry) { r.connect("node3", connID{"S", 3}, at) },
			[]Conn{open(1, "node1"), open(2, "node2")}, 0, []string{"node1", "node2", "node3"}, time.Time{}, "",
		},
		"ended after the listing": {
			func(r *testRegistry) { r.disconnected("node1", connID{"S", 1}, at, "Client Closed", at) },
			[]Conn{open(1, "node1"), open(2, "node2")}, 0, []string{"node2"}, at, "Client Closed",
		},
		"beginning missed, ended after the listing": {
			func(r *testRegistry) { r.disconnected("node3", connID{"S", 3}, at, "Client Closed", at) },
			[]Conn{open(1, "node1"), open(2, "node2"), open(3, "node3")},
			0, []string{"node1", "node2"}, time.Time{}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestRegistry(testRules(start))
			for i, name := range []string{"node1", "node2", "node3"} {
				r.registered(update{name: name, site: "ams", received: start}, start)
				if i < 2 {
					r.connect(name, connID{"S", uint64(i + 1)}, start)
				}
			}
			known := r.beginListing()
			if test.during != nil {
				test.during(r)
			}
			if n := r.applyListing(known, test.listed, at, at); n != test.differences {
				t.Errorf("%d differences, want %d", n, test.differences)
			}
			var connected []string
			for _, n := range r.nodes {
				if n.Connected {
					connected = append(connected, n.name)
				}
			}
			if slices.Sort(connected); !slices.Equal(connected, test.connected) {
				t.Errorf("%v are connected, want %v", connected, test.connected)
			}
			cs := r.nodes["node1"].connections
			if !slices.Contains(connected, "node1") && (!cs.ended.Equal(test.ended) || cs.reason != test.reason) {
				t.Errorf("node1 ended at %v (%s), want %v (%s)", cs.ended, cs.reason, test.ended, test.reason)
			}
			if n := r.applyListing(r.beginListing(), nil, at, at); n != len(test.connected) {
				t.Errorf("an empty list ends %d connections, want %d", n, len(test.connected))
			}
		})
	}
}

// The system connection of the fleet is lost, and one node disconnects and another one connects
// before it is back.
func TestFleet_ReconcilesAfterLostSystemConnection(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	if err := s.broker.Accept(); err != nil {
		t.Fatal(err)
	}
	f := s.open(DefaultConfig())
	s.register(2, nil)
	leaving := s.connectNode(0)
	s.awaitConnected(f, map[int]string{0: "yes", 1: "unknown"})

	var server string
	f.withRegistry(func(r *registry, _ time.Time) {
		for id := range r.open() {
			server = id.server
		}
	})
	kick := func(id uint64) {
		t.Helper()
		request, _ := json.Marshal(map[string]uint64{"cid": id})
		if _, err := s.system.Request("$SYS.REQ.SERVER."+server+".KICK", request, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	id, err := f.system.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	nodeID, err := leaving.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	kick(id) // the server has removed its subscriptions before it answers
	kick(nodeID)
	s.connectNode(1)
	s.awaitConnected(f, map[int]string{0: "no", 1: "yes"})
	if n := f.reconciled.Load(); n == 0 || n > 2 {
		t.Errorf("%d differences were counted, want 1 or 2", n)
	}
	if n, _ := f.Node(idOf(0)); n.Connection.Reason != "Kicked" {
		t.Errorf("the reason of the end is %q", n.Connection.Reason)
	}
	s.ahead.Add(int64(21 * time.Second))
	wait.Eventually(t, func() error {
		if n, _ := f.Node(idOf(0)); n.State != Down {
			return fmt.Errorf("the node is %s", n.State)
		}
		return nil
	})
}

// connectNode opens a connection of node n over TCP that does not reconnect.
func (s *fixture) connectNode(n int, options ...nats.Option) *nats.Conn {
	s.tb.Helper()
	nc, err := nats.Connect(s.broker.Address(), append(options, nats.Name(nodeName(n)), nats.NoReconnect())...)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(nc.Close)
	return nc
}

// awaitConnected waits until the nodes are connected or not, as given.
func (s *fixture) awaitConnected(f *Fleet, want map[int]string) {
	s.tb.Helper()
	wait.Eventually(s.tb, func() error {
		for n, connected := range want {
			if status, _ := f.Node(idOf(n)); status.Connection.Connected != connected {
				return fmt.Errorf("%s: connected %q, want %q", nodeName(n), status.Connection.Connected, connected)
			}
		}
		return nil
	})
}
