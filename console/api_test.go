package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/jsconfig"
)

func TestAPI_Answers(t *testing.T) {
	h := newHandler(withFleet())
	for path, want := range map[string]string{
		"/api/v1/fleet":                             `"nodes":2`,
		"/api/v1/nodes":                             `"name":"db1"`,
		"/api/v1/nodes?state=up":                    `{"nodes":[{"name":"web1"`,
		"/api/v1/nodes?state=late":                  `{"nodes":[]}`,
		"/api/v1/nodes?state=up&state=":             `{"nodes":[{"name":"web1"`,
		"/api/v1/nodes?limit=1":                     `"next":"db1"`,
		"/api/v1/nodes?limit=1&after=db1":           `{"nodes":[{"name":"web1"`,
		"/api/v1/nodes/web1":                        `"state":"up"`,
		"/api/v1/nodes/web1/diff":                   `{"kind":"fact","name":"cores","change":"changed","before":4,"now":8}`,
		"/api/v1/nodes/web1?site=":                  `"state":"up"`,
		"/api/v1/nodes/web2?site=fra":               `"name":"web2","state":"up"`,
		"/api/v1/sites":                             `{"sites":[{"site":"ams","home":true,"state":"up"`,
		"/api/v1/sites/fra":                         `{"site":"fra","home":false,"state":"down"`,
		"/api/v1/events":                            `"sequence":150`,
		"/api/v1/events?after=0&limit=5":            `"sequence":5`,
		"/api/v1/events?after=5&limit=7":            `"sequence":12`,
		"/api/v1/events?since=2026-11-25T10:00:00Z": `"since":"2026-11-25T10:00:00Z"`,
	} {
		t.Run(path, func(t *testing.T) {
			w := request(h, http.MethodGet, path)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%d %s; want %s", w.Code, w.Body, want)
			}
			if kind := w.Header().Get("Content-Type"); kind != "application/json" {
				t.Errorf("Content-Type: %s", kind)
			}
		})
	}
}

func TestAPI_Errors(t *testing.T) {
	h := newHandler(withFleet())
	for _, test := range []struct {
		path          string
		status        int
		code, message string
	}{
		{"/api/v1/nodes?limit=0", 400, CodeBadRequest, `limit="0" is not a number from 1 to 10000`},
		{
			"/api/v1/nodes?limit=1001", 400, CodeBadRequest,
			`limit=1001 is more than a page holds, 1000 nodes; format=jsonl`,
		},
		{"/api/v1/nodes?limit=5&limit=6", 400, CodeBadRequest, `limit is given 2 times`},
		{
			"/api/v1/nodes?statee=up", 400, CodeBadRequest,
			`unknown parameter "statee"; nodes can be selected by after, agent,`,
		},
		{"/api/v1/nodes?format=xml", 400, CodeBadRequest, `format="xml" is not a format`},
		{"/api/v1/nodes?where=os", 400, CodeBadRequest, `"os" is not a valid fact filter`},
		{"/api/v1/nodes?where=role=web", 400, CodeBadRequest, `the fact "role" is not indexed`},
		{"/api/v1/nodes?state=%zz", 400, CodeBadRequest, `the query of the URL is malformed`},
		{"/api/v1/nodes?state=dead", 400, CodeBadRequest, `state="dead" is not a state`},
		{"/api/v1/nodes/db9", 404, CodeNotFound, `no node "db9" has registered`},
		{"/api/v1/nodes/db9/diff", 404, CodeNotFound, `no node "db9" has registered`},
		{"/api/v1/nodes/web1?site=fra", 404, CodeNotFound, `no node "web1" of site "fra" has registered`},
		{"/api/v1/nodes/web2", 409, CodeAmbiguousNode, `several sites have a node "web2": ams, fra`},
		{"/api/v1/nodes/web2/diff", 409, CodeAmbiguousNode, `several sites have a node "web2": ams, fra`},
		{"/api/v1/nodes/web2?site=ams&site=fra", 400, CodeBadRequest, `site is given 2 times`},
		{"/api/v1/nodes/web2?sites=ams", 400, CodeBadRequest, `unknown parameter "sites"`},
		{"/api/v1/sites/nyc", 404, CodeNotFound, `no site "nyc" forwards to this appliance`},
		{"/api/v1/sites?state=up", 400, CodeBadRequest, `/api/v1/sites takes no parameters`},
		{"/api/v1/nodes/db1", 503, CodeUnavailable, `the stream is gone`},
		{"/api/v1/events?after=x", 400, CodeBadRequest, `after="x" is not a sequence number`},
		{"/api/v1/events?limit=0", 400, CodeBadRequest, `limit="0" is not a number from 1 to 10000`},
		{"/api/v1/events?limit=99999", 400, CodeBadRequest, `limit="99999" is not a number from 1 to 10000`},
		{"/api/v1/events?after=101", 503, CodeUnavailable, `the stream is gone`},
		{"/api/v1/events?after=-1&limit=10", 400, CodeBadRequest, `is not a sequence number`},
		{"/api/v1/events?afte=1", 400, CodeBadRequest, `unknown parameter "afte"`},
		{"/api/v1/events?since=1h", 400, CodeBadRequest, `since="1h" is not a time`},
		{"/api/v1/events?after=1&since=2026-11-25T10:00:00Z", 400, CodeBadRequest, `give one`},
		{"/api/v1/fleet?state=up", 400, CodeBadRequest, `/api/v1/fleet takes no parameters`},
		{"/api/v1/nothing", 404, CodeNotFound, `the API has no endpoint /api/v1/nothing`},
	} {
		t.Run(test.path, func(t *testing.T) {
			w := request(h, http.MethodGet, test.path)
			var have Error
			if err := json.Unmarshal(w.Body.Bytes(), &have); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != test.status || have.Code != test.code || !strings.Contains(have.Message, test.message) {
				t.Errorf("%d %+v; want %+v", w.Code, have, test)
			}
			if kind := w.Header().Get("Content-Type"); kind != "application/json" {
				t.Errorf("Content-Type: %s", kind)
			}
		})
	}
}

func TestAPI_RefusesOtherMethods(t *testing.T) {
	w := request(newHandler(withFleet()), http.MethodPost, "/api/v1/nodes")
	if w.Code != http.StatusMethodNotAllowed || !strings.Contains(w.Body.String(), `"code":"method-not-allowed"`) {
		t.Errorf("POST: %d %s", w.Code, w.Body)
	}
}

func TestAPI_WithoutFleet(t *testing.T) {
	h := newHandler(Options{})
	for _, path := range []string{"/api/v1/fleet", "/api/v1/nodes/web1", "/api/v1/sites"} {
		t.Run(path, func(t *testing.T) {
			w := request(h, http.MethodGet, path)
			want := `{"code":"fleet-disabled","error":"the fleet view is disabled: fleet.enabled is false"}`
			if w.Code != http.StatusNotFound || strings.TrimSpace(w.Body.String()) != want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestAPI_Streams(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		status int
		body   string
	}{
		{"answer", nil, http.StatusOK, `{"streams":[],"changes":[]}`},
		{
			"error", errors.New("the server is gone"), http.StatusServiceUnavailable,
			`{"code":"unavailable","error":"the server is gone"}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := request(newHandler(Options{Streams: func(context.Context) (Streams, error) {
				return Streams{Streams: []jsconfig.StreamInfo{}, Changes: []jsconfig.Change{}}, test.err
			}}), http.MethodGet, "/api/v1/streams")
			if w.Code != test.status || strings.TrimSpace(w.Body.String()) != test.body {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}
