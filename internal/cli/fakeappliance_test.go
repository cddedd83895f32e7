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
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/jsconfig"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// fakeAppliance is a real console that shows fixed data. Its times are hours ago, so that their
// words, such as "3 hours ago", do not change during a test.
type fakeAppliance struct {
	ready    []console.Reason
	warnings []console.Reason
	nodes    []fleet.NodeStatus
	streams  console.Streams
	rejected []rejected.Entry
	events   []*fleet.Event
	hubs     []forward.Status
	sites    []fleet.SiteStatus // beside that of the appliance

	permissions []rejected.Permission
}

func hoursAgo(n int) time.Time {
	return time.Now().Add(-time.Duration(n)*time.Hour - 10*time.Minute).Truncate(time.Second).UTC()
}

// Reasons as the fleet view gives them.
const (
	reasonDown     = "connection ended (Stale Connection) and the node did not reconnect within 20s"
	reasonLate     = "no registration for 11m; it registers every 5m"
	reasonStop     = "announced its shutdown and disconnected"
	reasonConflict = "registered; two nodes use this identity, connected from 192.0.2.7 since 2026-01-02T03:04:05Z " +
		"and from 192.0.2.8 since 2026-01-04T03:04:05Z"

	detailRejected  = `the sender is "web4", but it came over a connection of "web3.example.net"`
	reasonConnected = "connected, but has not registered yet; its last message was rejected: wrong-connection: " +
		detailRejected
)

// noNodes is ready, and no node has registered.
func noNodes() *fakeAppliance {
	return &fakeAppliance{streams: console.Streams{Streams: []jsconfig.StreamInfo{}, Changes: []jsconfig.Change{}}}
}

// fiveNodes is short of disk, and has one node in each state.
func fiveNodes() *fakeAppliance {
	return &fakeAppliance{
		ready: []console.Reason{{
			Code: "disk-short", What: "/var/lib/muster",
			Detail: "only 512 MiB of 100 GiB is free; free disk space, or lower the streams' max_bytes",
		}},
		warnings: []console.Reason{{
			Code: "stream-lost", What: "CHORIA_EVENTS",
			Detail: "7 messages are missing: sequences 11-17; as recorded at 2026-01-02T03:04:05Z; " +
				"noticed at 2026-01-02T03:09:00Z",
		}},
		nodes: fakeNodes(), streams: fakeStreams(),
		rejected: []rejected.Entry{
			{
				By: "broker", Name: "web9.example.net", Address: "192.0.2.9:40112", Reason: contract.ReasonUntrusted,
				Detail: "the certificate is signed by an unknown authority", First: hoursAgo(5), Last: hoursAgo(1), Count: 1234,
			},
			{
				By: "adapter registration", Name: "bad\tname", Reason: contract.ReasonBadSender,
				Detail: "a sender is 1 to 255 bytes", First: hoursAgo(2), Last: hoursAgo(2), Count: 1,
			},
			{
				By: "adapter registration", Name: "web3.example.net", Reason: contract.ReasonWrongConnection, Verified: true,
				Detail: detailRejected, First: hoursAgo(3), Last: hoursAgo(1), Count: 25,
			},
		},
		permissions: []rejected.Permission{
			{
				Identity: "choria=rip.mcollective", Role: "client", Kind: rejected.Publish, Subject: "$JS.API.STREAM.CREATE.KV_X",
				AllowedBy: "role or permission streams_admin", Address: "192.0.2.3",
				First: hoursAgo(2), Last: hoursAgo(2), Count: 1,
			},
			{
				Identity: "web1.example.net", Role: "node", Kind: rejected.Publish, Subject: rejected.OtherSubjects,
				Address: "192.0.2.7", First: hoursAgo(5), Last: hoursAgo(1), Count: 1200,
			},
			{
				Identity: "web1.example.net", Role: "node", Kind: rejected.Subscribe, Subject: "mcollective.reply.>",
				AllowedBy: "role submission", Address: "192.0.2.7", First: hoursAgo(5), Last: hoursAgo(1), Count: 33,
			},
		},
		events: []*fleet.Event{
			{
				Event: "new", Node: "db1.example.net", To: fleet.Up, Reason: "registered",
				Since: hoursAgo(9), Site: "ams", Sequence: 7,
			},
			{
				Event: "down", Node: "db1.example.net", From: fleet.Up, To: fleet.Down, Reason: reasonDown,
				Since: hoursAgo(3), Site: "ams", Sequence: 9,
			},
			{
				Event: "conflict", Node: "web2.example.net", Reason: reasonConflict[len("registered; "):],
				Since: hoursAgo(5), Site: "ams", Sequence: 8,
			},
			{
				Event: "storm", Reason: "12 of 40 nodes went down within a minute", Since: hoursAgo(2),
				Site: "fra", Storm: "fra-1", Nodes: 12, Of: 40, Sequence: 10,
			},
		},
	}
}

func fakeNodes() []fleet.NodeStatus {
	return []fleet.NodeStatus{
		{
			Name: "db1.example.net", State: fleet.Down, Since: hoursAgo(3), Reason: reasonDown,
			Site: "ams", Registered: hoursAgo(4),
			Connection: fleet.Connection{Connected: "no", Ended: hoursAgo(3), Reason: "Stale Connection"},
		},
		{
			Name: "db2.example.net", State: fleet.Stopped, Since: hoursAgo(26), Reason: reasonStop,
			Site: "fra", Registered: hoursAgo(27), ShutdownAt: hoursAgo(26),
		},
		{
			Name: "web1.example.net", State: fleet.Late, Since: hoursAgo(1), Reason: reasonLate,
			Site: "ams", Registered: hoursAgo(2), RegistersEverySeconds: 300,
		},
		{
			Name: "web2.example.net", State: fleet.Up, Since: hoursAgo(50), Reason: reasonConflict,
			Conflict: &fleet.Conflict{
				Since: hoursAgo(5), Connections: []fleet.ConflictParty{
					{Address: "192.0.2.7", Since: hoursAgo(50)}, {Address: "192.0.2.8", Since: hoursAgo(5)},
				},
			},
			Site: "ams", Registered: hoursAgo(1), RegistersEverySeconds: 300,
			Connection: fleet.Connection{Connected: "yes", Since: hoursAgo(50), Address: "192.0.2.7", Verified: true},
			Facts:      map[string]json.RawMessage{"os.name": json.RawMessage(`"Debian"`), "cores": json.RawMessage("8")},
			Classes:    []string{"apache", "base"}, Agents: []string{"puppet", "rpcutil"},
			Collectives: []string{"mcollective", "ams"},
		},
		{
			Name: "web3.example.net", State: fleet.Connected, Since: hoursAgo(6), Reason: reasonConnected, Site: "ams",
			Connection: fleet.Connection{Connected: "yes", Since: hoursAgo(6), Address: "192.0.2.8", Verified: true},
			Rejected:   &fleet.Rejection{Reason: contract.ReasonWrongConnection, Detail: detailRejected, At: hoursAgo(1)},
		},
	}
}

func fakeStreams() console.Streams {
	events := jetstream.StreamConfig{Name: "CHORIA_EVENTS", Subjects: []string{"choria.lifecycle.>"}, MaxBytes: -1}
	registrations := jetstream.StreamConfig{
		Name: contract.StreamRegistration, Subjects: []string{contract.SubjectNodeMetadata + ">"}, MaxBytes: 10 << 30,
	}
	return console.Streams{
		Streams: []jsconfig.StreamInfo{
			{Config: events},
			{Config: registrations, State: jetstream.StreamState{Msgs: 12345, Bytes: 70 << 20, LastTime: hoursAgo(1)}},
		},
		Changes: []jsconfig.Change{{
			Stream: "CHORIA_EVENTS", Action: jsconfig.Update,
			Differences: []jsconfig.Difference{{Field: "max_bytes", Have: "unlimited", Want: "512MiB"}},
		}},
	}
}

// open opens the console, which requires the token unless it is empty, and returns its URL.
func (a *fakeAppliance) open(t *testing.T, token string) (url string) {
	t.Helper()
	varz := `{"server_name":"collector1.example.net","start":"` + hoursAgo(75).Format(time.RFC3339) + `",` +
		`"connections":1208,"jetstream":{"config":{"max_storage":21474836480},"stats":{"storage":73400320}}}`
	c := console.New(console.Config{Listen: "127.0.0.1:0", Token: token}, console.Options{
		Now:      time.Now,
		Log:      hclog.NewNullLogger(),
		NotReady: func() []console.Reason { return a.ready },
		Warnings: func() []console.Reason { return a.warnings },
		Metrics:  fakeMetrics(), Choria: prometheus.NewRegistry(),
		NATS: map[string]http.HandlerFunc{
			"/varz": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(varz)) },
		},
		Rejected: func() ([]rejected.Entry, uint64) {
			return append([]rejected.Entry{}, a.rejected...), uint64(len(a.rejected))
		},
		Permissions: func() ([]rejected.Permission, uint64) {
			return append([]rejected.Permission{}, a.permissions...), uint64(len(a.permissions))
		},
		Streams: func(context.Context) (console.Streams, error) { return a.streams, nil },
		Forward: func() []forward.Status { return a.hubs },
		Fleet:   a, Sites: a, Registrations: a, Events: a,
	})
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return "http://" + c.Address()
}

// fakeMetrics are the metrics that commands read.
func fakeMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	gauge := func(name string, value float64, labels prometheus.Labels) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, ConstLabels: labels})
		g.Set(value)
		r.MustRegister(g)
	}
	adapter := prometheus.Labels{"adapter": "registration"}
	for term, n := range map[string]float64{
		"received": 1000, "stored": 990, "duplicate": 2, "rejected": 5, "dropped": 3,
	} {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "muster_adapter_" + term + "_total", ConstLabels: adapter})
		c.Add(n)
		r.MustRegister(c)
	}
	gauge("muster_adapter_pending", 0, adapter)
	gauge("muster_build_info", 1, prometheus.Labels{"version": "1.2.3"})
	gauge("process_resident_memory_bytes", 64<<20, nil)
	gauge("muster_broker_certificate_days", 41.5, nil)
	for kind, n := range map[string]float64{"node": 1190, "client": 9, "admin": 2, "internal": 7} {
		gauge("muster_broker_connections", n, prometheus.Labels{"kind": kind})
	}
	return r
}

func (a *fakeAppliance) Summary() fleet.Summary {
	s := fleet.Summary{
		Site: "ams", Nodes: len(a.nodes), At: time.Now().UTC(), Index: []string{"cores", "os.name"},
		States: map[fleet.State]int{}, Sites: map[string]int{}, Storms: []string{}, Conflicts: []string{},
		Rules: map[fleet.State]string{
			fleet.Up: "registers", fleet.Late: reasonLate, fleet.Down: "none for 11m", fleet.Stopped: reasonStop,
			fleet.Connected: "has not registered yet",
		},
	}
	rules := fleet.Rules{Grace: 20 * time.Second, Forget: 7 * 24 * time.Hour}
	s.Rules = rules.Descriptions()
	for _, state := range fleet.States {
		s.States[state] = 0
	}
	for _, n := range a.nodes {
		s.States[n.State]++
		s.Sites[n.Site]++
	}
	if len(a.nodes) > 0 {
		s.States[fleet.Provisioning] = 3
		s.Storms, s.Conflicts = []string{"fra"}, []string{"web2.example.net"}
	}
	return s
}

func (a *fakeAppliance) Nodes(q fleet.Query) (fleet.Page, error) {
	page := fleet.Page{Nodes: []fleet.NodeStatus{}}
	for _, n := range a.nodes {
		inState := len(q.States) == 0 || slices.Contains(q.States, n.State)
		elsewhere := len(n.Collectives) > 0 && len(q.Collectives) > 0 && !slices.Contains(n.Collectives, q.Collectives[0])
		atSite := len(q.Sites) == 0 || slices.Contains(q.Sites, n.Site)
		if inState && atSite && !elsewhere {
			page.Nodes = append(page.Nodes, n)
		}
	}
	return page, nil
}

func (a *fakeAppliance) Detail(_ context.Context, id fleet.NodeID) (d fleet.Detail, known bool, err error) {
	i := slices.IndexFunc(a.nodes, func(n fleet.NodeStatus) bool {
		return n.Name == id.Name && (id.Site == "" || n.Site == id.Site)
	})
	if i < 0 {
		return d, false, nil
	}
	if a.nodes[i].Registered.IsZero() {
		return fleet.Detail{NodeStatus: a.nodes[i], Registrations: []fleet.RegistrationInfo{}}, true, nil
	}
	info := fleet.RegistrationInfo{
		Sequence: 12, Received: a.nodes[i].Registered, Verified: "x509", Request: "a1", Bytes: 5700,
	}
	return fleet.Detail{
		NodeStatus: a.nodes[i], Registrations: []fleet.RegistrationInfo{info},
		Registration: &fleet.Registration{
			RegistrationInfo: info, Kind: "inventory",
			Data: json.RawMessage(`{"facts":{"cores":8},"classes":["apache"]}`),
		},
	}, true, nil
}

func (a *fakeAppliance) Diff(_ context.Context, id fleet.NodeID) (d fleet.Diff, known bool, err error) {
	return fleet.Diff{
		Node:   id.Name,
		Now:    &fleet.RegistrationInfo{Sequence: 12, Received: hoursAgo(1), Verified: "x509"},
		Before: &fleet.RegistrationInfo{Sequence: 11, Received: hoursAgo(2), Verified: "x509"},
		Changes: []fleet.Change{
			{Kind: "fact", Name: "cores", Change: "changed", Before: json.RawMessage("4"), Now: json.RawMessage("8")},
			{Kind: "class", Name: "apache", Change: "added"},
		},
		Volatile: 3,
	}, len(a.nodes) > 0, nil
}

// Inventories has one of web2.
func (a *fakeAppliance) Inventories(
	_ context.Context, nodes []fleet.NodeID, take func(fleet.NodeID, *choria.Inventory) error,
) error {
	for _, id := range nodes {
		var i *choria.Inventory
		if id.Name == "web2.example.net" {
			i = &choria.Inventory{
				Facts: json.RawMessage(`{"cores":8}`), Classes: []string{"apache"}, Collectives: []string{"mcollective", "ams"},
			}
		}
		if err := take(id, i); err != nil {
			return err
		}
	}
	return nil
}

func (a *fakeAppliance) Events(_ context.Context, q fleet.EventQuery) (fleet.EventPage, error) {
	page := fleet.EventPage{Events: []*fleet.Event{}, Last: 10}
	for _, e := range a.events {
		if e.Sequence > q.After && !e.Since.Before(q.Since) {
			page.Events = append(page.Events, e)
		}
	}
	return page, nil
}

func (a *fakeAppliance) FollowEvents(ctx context.Context, _ uint64, _ func(*fleet.Event) error) error {
	<-ctx.Done()
	return ctx.Err()
}
