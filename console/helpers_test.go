package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/prometheus/client_golang/prometheus"
)

// withFleet returns options that show a fleet of two nodes.
func withFleet() Options {
	return Options{Fleet: twoNodes{}, Sites: twoNodes{}, Registrations: twoNodes{}, Events: twoNodes{}}
}

// newHandler returns the console's handler, with empty metrics.
func newHandler(o Options) http.Handler {
	return handler(complete(o))
}

// complete adds what every console needs.
func complete(o Options) Options {
	o.Metrics, o.Choria = prometheus.NewRegistry(), prometheus.NewRegistry()
	o.Log = hclog.NewNullLogger()
	if o.About == nil {
		o.About = func() About { return About{} }
	}
	return o
}

// request sends one request to the handler and returns the answer.
func request(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// twoNodes is a fleet of db1, which is down, and web1, which is up. Its stream of events cannot be
// read after sequence 100, and the registrations of db1 not at all.
type twoNodes struct{}

func (twoNodes) Summary() fleet.Summary {
	return fleet.Summary{
		Site: "ams", Nodes: 2, States: map[fleet.State]int{fleet.Up: 1, fleet.Down: 1}, Storms: []string{},
		Index: []string{"os.name"},
	}
}

func (twoNodes) Nodes(q fleet.Query) (page fleet.Page, err error) {
	if len(q.Where) > 0 {
		return page, fmt.Errorf("%w: the fact %q is not indexed", fleet.ErrQuery, q.Where[0].Fact)
	}
	since := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	page.Nodes = []fleet.NodeStatus{}
	for _, n := range []fleet.NodeStatus{
		{
			Name: "db1", State: fleet.Down, Since: since, Reason: "its connection ended, and none came back",
			Site: "ams", Registered: since,
		},
		{
			Name: "web1", State: fleet.Up, Since: since, Reason: "registered", Site: "ams", Registered: since,
			Classes: []string{"apache", "base"}, Connection: fleet.Connection{Connected: "yes", Address: "192.0.2.7"},
			Facts: map[string]json.RawMessage{"os.name": json.RawMessage(`"De\"bian"`)},
		},
	} {
		switch {
		case n.Name <= q.After || len(q.States) > 0 && !slices.Contains(q.States, n.State):
		case len(page.Nodes) == q.Limit && q.Limit > 0:
			page.Next = page.Nodes[q.Limit-1].Name
		default:
			page.Nodes = append(page.Nodes, n)
		}
	}
	return page, nil
}

func (twoNodes) Sites() []fleet.SiteStatus {
	return []fleet.SiteStatus{{Site: "ams", Home: true, State: fleet.SiteUp}, {Site: "fra", State: fleet.SiteDown}}
}

func (n twoNodes) Site(name string) (fleet.SiteStatus, bool) {
	for _, s := range n.Sites() {
		if s.Site == name {
			return s, true
		}
	}
	return fleet.SiteStatus{}, false
}

// Named knows a node web2 of each site.
func (n twoNodes) Named(name string) (named []fleet.NodeStatus) {
	if name == "web2" {
		for _, s := range n.Sites() {
			named = append(named, fleet.NodeStatus{Name: name, Site: s.Site})
		}
	}
	return named
}

func (twoNodes) Detail(_ context.Context, id fleet.NodeID) (fleet.Detail, bool, error) {
	if id.Name == "db1" {
		return fleet.Detail{}, true, errors.New("the stream is gone")
	}
	node := fleet.NodeStatus{Name: id.Name, State: fleet.Up, Site: id.Site}
	known := id.Name == "web1" && id.Site == "" || id == fleet.NodeID{Site: "fra", Name: "web2"}
	return fleet.Detail{NodeStatus: node, Registrations: []fleet.RegistrationInfo{{Sequence: 7}}}, known, nil
}

func (twoNodes) Diff(_ context.Context, id fleet.NodeID) (fleet.Diff, bool, error) {
	change := fleet.Change{
		Kind: "fact", Name: "cores", Change: "changed", Before: json.RawMessage("4"), Now: json.RawMessage("8"),
	}
	return fleet.Diff{Node: id.Name, Changes: []fleet.Change{change}}, id.Name == "web1", nil
}

// Inventories fails at the first node from web8 on; only web1 has an inventory.
func (twoNodes) Inventories(
	_ context.Context, nodes []fleet.NodeID, take func(fleet.NodeID, *choria.Inventory) error,
) error {
	for _, id := range nodes {
		var i *choria.Inventory
		switch {
		case id.Name >= "web8":
			return errors.New("the stream is gone")
		case id.Name == "web1":
			i = &choria.Inventory{
				Facts: json.RawMessage(`{"cores":4}`), Classes: []string{"apache"}, Collectives: []string{"web"},
			}
		}
		if err := take(id, i); err != nil {
			return err
		}
	}
	return nil
}

func (twoNodes) Events(_ context.Context, q fleet.EventQuery) (page fleet.EventPage, err error) {
	if q.After > 100 {
		return page, errors.New("the stream is gone")
	}
	if q.Latest {
		q.After = 50
	}
	page.Events = []*fleet.Event{{Event: "down", Node: "db1", Sequence: q.After + uint64(q.Limit), Since: q.Since}}
	return page, nil
}

func (twoNodes) FollowEvents(context.Context, uint64, func(*fleet.Event) error) error {
	return errors.New("the stream\nis gone")
}

// contextWith returns a context of the test with the value.
func contextWith(t *testing.T, key, value any) context.Context {
	return context.WithValue(t.Context(), key, value)
}
