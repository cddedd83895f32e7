package console

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/fleet"
	"github.com/prometheus/client_golang/prometheus"
)

// two is a fleet of two nodes, whose stream of events cannot be read beyond 100.
type two struct{}

func (two) Summary() fleet.Summary {
	return fleet.Summary{Site: "ams", Nodes: 2, States: map[fleet.State]int{fleet.Up: 1, fleet.Down: 1}, Storms: []string{}}
}

func (two) Nodes(state fleet.State) []fleet.Node {
	nodes := []fleet.Node{}
	for _, n := range []fleet.Node{{Name: "db1", State: fleet.Down}, {Name: "web1", State: fleet.Up}} {
		if state == "" || state == n.State {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (two) Node(name string) (fleet.Node, bool) {
	return fleet.Node{Name: name, State: fleet.Up}, name == "web1"
}

func (two) EventsAfter(_ context.Context, after uint64, most int) ([]*fleet.Event, error) {
	if after > 100 {
		return nil, errors.New("the stream is gone")
	}
	return []*fleet.Event{{Event: "down", Node: "db1", Sequence: after + uint64(most)}}, nil
}

func TestTheAPIAnswersOrSaysWhyNot(t *testing.T) {
	h := handler(Sources{Metrics: prometheus.NewRegistry(), Choria: prometheus.NewRegistry(), Fleet: two{}, Events: two{}})
	for path, want := range map[string]struct {
		status int
		holds  string
	}{
		"/api/v1/fleet":                    {200, `"nodes":2`},
		"/api/v1/nodes":                    {200, `"name":"db1"`},
		"/api/v1/nodes?state=up":           {200, `{"nodes":[{"name":"web1"`},
		"/api/v1/nodes?state=late":         {200, `{"nodes":[]}`},
		"/api/v1/nodes?state=dead":         {400, `"error":"\"dead\" is no state`},
		"/api/v1/nodes/web1":               {200, `"state":"up"`},
		"/api/v1/nodes/db9":                {404, `"error":"no node \"db9\" has registered`},
		"/api/v1/events":                   {200, `"sequence":100`},
		"/api/v1/events?after=5&limit=7":   {200, `"sequence":12`},
		"/api/v1/events?after=x":           {400, `"error":"after: \"x\" is not a number"`},
		"/api/v1/events?limit=0":           {400, `limit: want a number from 1 to 10000`},
		"/api/v1/events?limit=99999":       {400, `limit: want a number from 1 to 10000`},
		"/api/v1/events?after=101":         {503, `the stream is gone`},
		"/api/v1/events?after=-1&limit=10": {400, `is not a number`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want.status || !strings.Contains(w.Body.String(), want.holds) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/nodes", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestWithoutAFleetTheAPISaysSo(t *testing.T) {
	h := handler(Sources{Metrics: prometheus.NewRegistry(), Choria: prometheus.NewRegistry()})
	for _, path := range []string{"/api/v1/fleet", "/api/v1/nodes/web1"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"error":"nobody watches the nodes`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
