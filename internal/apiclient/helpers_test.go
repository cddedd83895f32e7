package apiclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/jsconfig"
	"github.com/prometheus/client_golang/prometheus"
)

// fakeFleet is a fleet of 2500 nodes, node0000 to node2499, and of three events.
type fakeFleet struct{}

const fakeNodes = 2500

func (fakeFleet) Summary() fleet.Summary { return fleet.Summary{Site: "ams", Nodes: fakeNodes} }

func (fakeFleet) Nodes(q fleet.Query) (page fleet.Page, err error) {
	page.Nodes = []fleet.NodeStatus{}
	for i := range fakeNodes {
		n := fleet.NodeStatus{Name: fmt.Sprintf("node%04d", i), State: fleet.Up}
		switch {
		case n.Name <= q.After:
		case len(page.Nodes) == q.Limit:
			page.Next = page.Nodes[q.Limit-1].Name
			return page, nil
		default:
			page.Nodes = append(page.Nodes, n)
		}
	}
	return page, nil
}

func (fakeFleet) Sites() []fleet.SiteStatus {
	return []fleet.SiteStatus{{Site: "ams", Home: true}, {Site: "a b"}}
}

func (f fakeFleet) Site(name string) (fleet.SiteStatus, bool) { return f.Sites()[1], name == "a b" }

// Named knows two nodes of each name that begins with "two".
func (f fakeFleet) Named(name string) []fleet.NodeStatus {
	if !strings.HasPrefix(name, "two") {
		return nil
	}
	return []fleet.NodeStatus{{Name: name, Site: "ams"}, {Name: name, Site: "a b"}}
}

func (fakeFleet) Detail(_ context.Context, id fleet.NodeID) (fleet.Detail, bool, error) {
	return fleet.Detail{NodeStatus: fleet.NodeStatus{Name: id.Name, Site: id.Site}}, id.Name == "web 1/a", nil
}

func (fakeFleet) Diff(_ context.Context, id fleet.NodeID) (fleet.Diff, bool, error) {
	return fleet.Diff{Node: id.Name, Volatile: 3}, id.Name == "web 1/a", nil
}

func (fakeFleet) Inventories(
	_ context.Context, nodes []fleet.NodeID, take func(fleet.NodeID, *choria.Inventory) error,
) error {
	for _, id := range nodes {
		if err := take(id, nil); err != nil {
			return err
		}
	}
	return nil
}

func (fakeFleet) Events(_ context.Context, q fleet.EventQuery) (fleet.EventPage, error) {
	page := fleet.EventPage{Events: []*fleet.Event{}, Last: 3}
	for n := uint64(1); n <= 3; n++ {
		if n > q.After && len(page.Events) < q.Limit {
			page.Events = append(page.Events, &fleet.Event{Event: "down", Node: "web1", Sequence: n, Since: q.Since})
		}
	}
	return page, nil
}

// FollowEvents sends the three events, and then none.
func (fakeFleet) FollowEvents(ctx context.Context, after uint64, take func(*fleet.Event) error) error {
	for n := after + 1; n <= 3; n++ {
		if err := take(&fleet.Event{Event: "down", Node: "web1", Sequence: n}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

const testToken = "a token that is long enough"

// options are those of a console with the fake fleet.
func options() console.Options {
	metrics := prometheus.NewRegistry()
	for name, value := range map[string]float64{"a": 3, "b": 4} {
		c := prometheus.NewCounter(prometheus.CounterOpts{
			Name: "stored_total", ConstLabels: prometheus.Labels{"adapter": name},
		})
		c.Add(value)
		metrics.MustRegister(c)
	}
	varz := `{"server_name":"a1","connections":7,"jetstream":{"config":{"max_storage":9},"stats":{"storage":8}}}`
	return console.Options{
		Now: time.Now,
		Log: hclog.NewNullLogger(), Metrics: metrics, Choria: prometheus.NewRegistry(),
		NotReady: func() []console.Reason { return []console.Reason{{Code: "disk-short", What: "/data"}} },
		NATS: map[string]http.HandlerFunc{
			"/varz": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(varz)) },
		},
		Rejected: func() ([]rejected.Entry, uint64) { return []rejected.Entry{{Name: "web9"}}, 2 },
		Permissions: func() ([]rejected.Permission, uint64) {
			return []rejected.Permission{{Identity: "web1", Count: 3}}, 4
		},
		Streams: func(context.Context) (console.Streams, error) {
			return console.Streams{Streams: []jsconfig.StreamInfo{}, Overlap: "A and B"}, nil
		},
		Forward: func() []forward.Status { return []forward.Status{{Hub: "central"}} },
		Fleet:   fakeFleet{}, Sites: fakeFleet{}, Registrations: fakeFleet{}, Events: fakeFleet{},
	}
}

// open returns a client of a console with these options, which requires testToken.
func open(t *testing.T, o console.Options) *Client {
	t.Helper()
	c := console.New(console.Config{Listen: "127.0.0.1:0", Token: testToken}, o)
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return New(Options{URL: "http://" + c.Address(), Token: testToken, Timeout: 10 * time.Second})
}

// text returns a value as JSON, to compare it.
func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
