package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/jsconfig"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// fakeAppliance is an appliance of which everything is known: the console is a real one, and answers
// from here. Times are so long ago that they are the same in words for a while.
type fakeAppliance struct {
	ready   []console.Reason
	nodes   []fleet.NodeStatus
	streams console.Streams
	cases   []rejected.Entry
	events  []*fleet.Event
}

func hoursAgo(n int) time.Time {
	return time.Now().Add(-time.Duration(n)*time.Hour - 10*time.Minute).Truncate(time.Second).UTC()
}

// fourNodes has four nodes.
func fourNodes() *fakeAppliance {
	facts := map[string]json.RawMessage{"os.name": json.RawMessage(`"Debian"`), "cores": json.RawMessage("8")}
	return &fakeAppliance{
		ready: []console.Reason{{Code: "disk-short", What: "/var/lib/muster", Detail: "512 MiB of 100 GiB is free; make room, or lower the streams' max_bytes"}},
		nodes: []fleet.NodeStatus{
			{
				Name: "db1.example.net", State: fleet.Down, Since: hoursAgo(3), Reason: "connection ended (Stale Connection) and the node did not reconnect within 20s", Site: "ams", Registered: hoursAgo(4),
				Connection: fleet.Connection{Connected: "no", Ended: hoursAgo(3), Reason: "Stale Connection"},
			},
			{Name: "db2.example.net", State: fleet.Stopped, Since: hoursAgo(26), Reason: "it said goodbye", Site: "fra", Registered: hoursAgo(27), ShutdownAt: hoursAgo(26)},
			{Name: "web1.example.net", State: fleet.Late, Since: hoursAgo(1), Reason: "no registration for longer than 6m", Site: "ams", Registered: hoursAgo(2)},
			{
				Name: "web2.example.net", State: fleet.Up, Since: hoursAgo(50), Reason: "registered", Site: "ams", Registered: hoursAgo(1), RegistersEverySeconds: 300,
				Connection: fleet.Connection{Connected: "yes", Since: hoursAgo(50), Address: "192.0.2.7", Verified: true},
				Facts:      facts, Classes: []string{"apache", "base"}, Agents: []string{"puppet", "rpcutil"},
			},
		},
		streams: console.Streams{
			Streams: []jsconfig.StreamInfo{
				{Config: jetstream.StreamConfig{Name: "CHORIA_EVENTS", Subjects: []string{"choria.lifecycle.>"}, MaxBytes: -1}},
				{
					Config: jetstream.StreamConfig{Name: "CHORIA_REGISTRATION", Subjects: []string{"choria.node_metadata.>"}, MaxBytes: 10 << 30},
					State:  jetstream.StreamState{Msgs: 12345, Bytes: 70 << 20, LastTime: hoursAgo(1)},
				},
			},
			Changes: []jsconfig.Change{{Stream: "CHORIA_EVENTS", Action: jsconfig.Update, Differences: []jsconfig.Difference{{Field: "max_bytes", Have: "-1", Want: "512MiB"}}}},
		},
		cases: []rejected.Entry{
			{By: "broker", Name: "web9.example.net", Address: "192.0.2.9:40112", Reason: "untrusted", Detail: "the certificate is signed by nobody we trust", First: hoursAgo(5), Last: hoursAgo(1), Count: 1234},
			{By: "registration", Name: "bad\tname", Reason: "bad-sender", Detail: "a sender is 1 to 255 bytes", First: hoursAgo(2), Last: hoursAgo(2), Count: 1},
		},
		events: []*fleet.Event{
			{Event: "new", Node: "db1.example.net", To: fleet.Up, Reason: "registered", Since: hoursAgo(9), Site: "ams", Sequence: 7},
			{Event: "down", Node: "db1.example.net", From: fleet.Up, To: fleet.Down, Reason: "connection ended (Stale Connection) and the node did not reconnect within 20s", Since: hoursAgo(3), Site: "ams", Sequence: 9},
			{Event: "storm", Reason: "12 of 40 nodes have gone at once", Since: hoursAgo(2), Site: "fra", Storm: "fra-1", Nodes: 12, Of: 40, Sequence: 10},
		},
	}
}

// noNodes is ready, and nobody has come.
func noNodes() *fakeAppliance {
	return &fakeAppliance{streams: console.Streams{Streams: []jsconfig.StreamInfo{}, Changes: []jsconfig.Change{}}}
}

// open is its console.
func (s *fakeAppliance) open(t *testing.T, token string) (url string) {
	t.Helper()
	varz := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"server_name":"collector1.example.net","start":"` + hoursAgo(75).Format(time.RFC3339) + `","connections":1208,"jetstream":{"config":{"max_storage":21474836480},"stats":{"storage":73400320}}}`))
	}
	c := console.New(console.Config{Listen: "127.0.0.1:0", Token: token}, console.Options{
		Log: hclog.NewNullLogger(), Ready: func() []console.Reason { return s.ready }, Metrics: figures(), Choria: prometheus.NewRegistry(),
		NATS: map[string]http.HandlerFunc{"/varz": varz}, Rejected: func() ([]rejected.Entry, uint64) { return append([]rejected.Entry{}, s.cases...), uint64(len(s.cases)) },
		Streams: func(context.Context) (console.Streams, error) { return s.streams, nil }, Fleet: s, Registrations: s, Events: s,
	})
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return "http://" + c.Address()
}

// figures are the metrics that commands read.
func figures() *prometheus.Registry {
	r := prometheus.NewRegistry()
	gauge := func(name string, value float64, labels prometheus.Labels) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, ConstLabels: labels})
		g.Set(value)
		r.MustRegister(g)
	}
	for name, n := range map[string]float64{"received": 1000, "stored": 990, "duplicate": 2, "rejected": 5, "dropped": 3} {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_adapter_" + name + "_total", ConstLabels: prometheus.Labels{"adapter": "registration"}})
		c.Add(n)
		r.MustRegister(c)
	}
	gauge("muster_adapter_pending", 0, prometheus.Labels{"adapter": "registration"})
	gauge("muster_build_info", 1, prometheus.Labels{"version": "1.2.3"})
	gauge("process_resident_memory_bytes", 64<<20, nil)
	gauge("muster_broker_certificate_days", 41.5, nil)
	return r
}

func (s *fakeAppliance) Summary() fleet.Summary {
	sum := fleet.Summary{
		Site: "ams", Nodes: len(s.nodes), States: map[fleet.State]int{}, Sites: map[string]int{}, Storms: []string{}, Index: []string{"cores", "os.name"}, At: time.Now().UTC(),
		Rules: map[fleet.State]string{fleet.Up: "registers", fleet.Late: "no registration for longer than 6m", fleet.Down: "none for 11m", fleet.Stopped: "it said goodbye"},
	}
	for _, state := range fleet.States {
		sum.States[state] = 0
	}
	for _, n := range s.nodes {
		sum.States[n.State]++
		sum.Sites[n.Site]++
	}
	if len(s.nodes) > 0 {
		sum.Storms = []string{"fra"}
	}
	return sum
}

func (s *fakeAppliance) Nodes(q fleet.Query) (fleet.Page, error) {
	page := fleet.Page{Nodes: []fleet.NodeStatus{}}
	for _, n := range s.nodes {
		if len(q.States) == 0 || slices.Contains(q.States, n.State) {
			page.Nodes = append(page.Nodes, n)
		}
	}
	return page, nil
}

func (s *fakeAppliance) Detail(_ context.Context, name string) (d fleet.Detail, known bool, err error) {
	i := slices.IndexFunc(s.nodes, func(n fleet.NodeStatus) bool { return n.Name == name })
	if i < 0 {
		return d, false, nil
	}
	arrival := fleet.Arrival{Sequence: 12, Received: s.nodes[i].Registered, Verified: "x509", Request: "a1", Bytes: 5700}
	registration := fleet.Registration{Arrival: arrival, Kind: "inventory", Data: json.RawMessage(`{"facts":{"cores":8},"classes":["apache"]}`)}
	return fleet.Detail{NodeStatus: s.nodes[i], Arrivals: []fleet.Arrival{arrival}, Registration: &registration}, true, nil
}

func (s *fakeAppliance) Diff(_ context.Context, name string) (d fleet.Diff, known bool, err error) {
	arrivals := []fleet.Arrival{{Sequence: 12, Received: hoursAgo(1), Verified: "x509"}, {Sequence: 11, Received: hoursAgo(2), Verified: "x509"}}
	return fleet.Diff{Node: name, Now: &arrivals[0], Before: &arrivals[1], Volatile: 3, Changes: []fleet.Change{
		{Kind: "fact", Name: "cores", Change: "changed", Before: json.RawMessage("4"), Now: json.RawMessage("8")},
		{Kind: "class", Name: "apache", Change: "added"},
	}}, len(s.nodes) > 0, nil
}

func (s *fakeAppliance) Inventories(_ context.Context, names []string, take func(string, *choria.Inventory) error) error {
	for _, name := range names {
		var i *choria.Inventory
		if name == "web2.example.net" {
			i = &choria.Inventory{Facts: json.RawMessage(`{"cores":8}`), Classes: []string{"apache"}, Collectives: []string{"mcollective", "ams"}}
		}
		if err := take(name, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *fakeAppliance) Events(_ context.Context, q fleet.EventQuery) (fleet.EventPage, error) {
	page := fleet.EventPage{Events: []*fleet.Event{}, Last: 10}
	for _, e := range s.events {
		if e.Sequence > q.After && !e.Since.Before(q.Since) {
			page.Events = append(page.Events, e)
		}
	}
	return page, nil
}

func (s *fakeAppliance) FollowEvents(ctx context.Context, _ uint64, _ func(*fleet.Event) error) error {
	<-ctx.Done()
	return ctx.Err()
}
