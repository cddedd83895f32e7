package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/jsconfig"
)

// two is a fleet of two nodes, whose stream of events cannot be read beyond 100.
type two struct{}

func (two) Summary() fleet.Summary {
	return fleet.Summary{Site: "ams", Nodes: 2, States: map[fleet.State]int{fleet.Up: 1, fleet.Down: 1}, Storms: []string{}, Index: []string{"os.name"}}
}

func (two) Nodes(q fleet.Query) (page fleet.Page, err error) {
	if len(q.Where) > 0 {
		return page, fmt.Errorf("%w: the fact %q is not indexed", fleet.ErrQuery, q.Where[0].Fact)
	}
	since := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	page.Nodes = []fleet.NodeStatus{}
	for _, n := range []fleet.NodeStatus{
		{Name: "db1", State: fleet.Down, Since: since, Reason: "its connection ended, and none came back", Site: "ams", Registered: since},
		{
			Name: "web1", State: fleet.Up, Since: since, Reason: "registered", Site: "ams", Registered: since, Classes: []string{"apache", "base"},
			Connection: fleet.Connection{Connected: "yes", Address: "192.0.2.7"}, Facts: map[string]json.RawMessage{"os.name": json.RawMessage(`"De\"bian"`)},
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

func (two) Detail(_ context.Context, name string) (fleet.Detail, bool, error) {
	if name == "db1" {
		return fleet.Detail{}, true, errors.New("the stream is gone")
	}
	return fleet.Detail{NodeStatus: fleet.NodeStatus{Name: name, State: fleet.Up}, Arrivals: []fleet.Arrival{{Sequence: 7}}}, name == "web1", nil
}

func (two) Diff(_ context.Context, name string) (fleet.Diff, bool, error) {
	change := fleet.Change{Kind: "fact", Name: "cores", Change: "changed", Before: json.RawMessage("4"), Now: json.RawMessage("8")}
	return fleet.Diff{Node: name, Changes: []fleet.Change{change}}, name == "web1", nil
}

// Inventories cannot be read from web8 on.
func (two) Inventories(_ context.Context, names []string, take func(string, *choria.Inventory) error) error {
	for _, name := range names {
		var i *choria.Inventory
		switch {
		case name >= "web8":
			return errors.New("the stream is gone")
		case name == "web1":
			i = &choria.Inventory{Facts: json.RawMessage(`{"cores":4}`), Classes: []string{"apache"}, Collectives: []string{"web"}}
		}
		if err := take(name, i); err != nil {
			return err
		}
	}
	return nil
}

func (two) Events(_ context.Context, q fleet.EventQuery) (page fleet.EventPage, err error) {
	if q.After > 100 {
		return page, errors.New("the stream is gone")
	}
	if q.Latest {
		q.After = 50
	}
	page.Events = []*fleet.Event{{Event: "down", Node: "db1", Sequence: q.After + uint64(q.Limit), Since: q.Since}}
	return page, nil
}

func (two) FollowEvents(context.Context, uint64, func(*fleet.Event) error) error {
	return errors.New("the stream\nis gone")
}

func TestTheAPIAnswersOrSaysWhyNot(t *testing.T) {
	h := handlerOf(Options{Fleet: two{}, Registrations: two{}, Events: two{}})
	for path, want := range map[string]struct {
		status int
		holds  string
	}{
		"/api/v1/fleet":                                     {200, `"nodes":2`},
		"/api/v1/nodes":                                     {200, `"name":"db1"`},
		"/api/v1/nodes?state=up":                            {200, `{"nodes":[{"name":"web1"`},
		"/api/v1/nodes?state=late":                          {200, `{"nodes":[]}`},
		"/api/v1/nodes?state=up&state=":                     {200, `{"nodes":[{"name":"web1"`},
		"/api/v1/nodes?limit=1":                             {200, `"next":"db1"`},
		"/api/v1/nodes?limit=1&after=db1":                   {200, `{"nodes":[{"name":"web1"`},
		"/api/v1/nodes?limit=0":                             {400, `limit: want a number from 1 to 10000`},
		"/api/v1/nodes?limit=1001":                          {400, `limit: a page has at most 1000 nodes; format=jsonl has more`},
		"/api/v1/nodes?limit=5&limit=6":                     {400, `limit is given 2 times`},
		"/api/v1/nodes?statee=up":                           {400, `\"statee\" is nothing that nodes can be asked by; after, agent,`},
		"/api/v1/nodes?format=xml":                          {400, `\"xml\" is no format`},
		"/api/v1/nodes?where=os":                            {400, `\"os\" is not a valid fact filter`},
		"/api/v1/nodes?where=role=web":                      {400, `the fact \"role\" is not indexed`},
		"/api/v1/nodes?state=%zz":                           {400, `the address cannot be read`},
		"/api/v1/nodes?state=dead":                          {400, `"error":"\"dead\" is no state`},
		"/api/v1/nodes/web1":                                {200, `"state":"up"`},
		"/api/v1/nodes/db9":                                 {404, `"error":"no node \"db9\" has registered`},
		"/api/v1/nodes/web1/diff":                           {200, `{"kind":"fact","name":"cores","change":"changed","before":4,"now":8}`},
		"/api/v1/nodes/db9/diff":                            {404, `"error":"no node \"db9\" has registered`},
		"/api/v1/nodes/db1":                                 {503, `the stream is gone`},
		"/api/v1/events":                                    {200, `"sequence":150`},
		"/api/v1/events?after=0&limit=5":                    {200, `"sequence":5`},
		"/api/v1/events?after=5&limit=7":                    {200, `"sequence":12`},
		"/api/v1/events?after=x":                            {400, `"error":"after: \"x\" is not a number"`},
		"/api/v1/events?limit=0":                            {400, `limit: want a number from 1 to 10000`},
		"/api/v1/events?limit=99999":                        {400, `limit: want a number from 1 to 10000`},
		"/api/v1/events?after=101":                          {503, `the stream is gone`},
		"/api/v1/events?after=-1&limit=10":                  {400, `is not a number`},
		"/api/v1/events?afte=1":                             {400, `\"afte\" is nothing that events can be asked by`},
		"/api/v1/events?since=1h":                           {400, `since: \"1h\" is no time`},
		"/api/v1/events?after=1&since=2026-11-25T10:00:00Z": {400, `give one`},
		"/api/v1/events?since=2026-11-25T10:00:00Z":         {200, `"since":"2026-11-25T10:00:00Z"`},
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

func TestNodesInEachFormat(t *testing.T) {
	h := handlerOf(Options{Fleet: two{}, Registrations: two{}, Events: two{}})
	for query, want := range map[string]struct{ kind, body string }{
		"format=names":         {"text/plain; charset=utf-8", "db1\nweb1\n"},
		"format=names&limit=1": {"text/plain; charset=utf-8", "db1\n"},
		"format=csv": {"text/csv; charset=utf-8", `name,state,since,reason,site,registered,connected,address,classes,agents,facts.os.name
db1,down,2026-11-25T10:00:00Z,"its connection ended, and none came back",ams,2026-11-25T10:00:00Z,,,,,
web1,up,2026-11-25T10:00:00Z,registered,ams,2026-11-25T10:00:00Z,yes,192.0.2.7,apache base,,"De""bian"
`},
		"format=csv&state=late": {"text/csv; charset=utf-8", "name,state,since,reason,site,registered,connected,address,classes,agents,facts.os.name\n"},
		"format=jsonl&state=up": {"application/x-ndjson", `{"name":"web1","state":"up","since":"2026-11-25T10:00:00Z","reason":"registered","site":"ams","registered":"2026-11-25T10:00:00Z",` +
			`"connection":{"connected":"yes","address":"192.0.2.7","verified":false},"classes":["apache","base"],"facts":{"os.name":"De\"bian"}}` + "\n"},
		"format=flatfile": {"text/plain; charset=utf-8", "db1\nweb1\n"},
		"format=inventory": {"application/json", `{"$schema":"https://choria.io/schemas/choria/discovery/v1/inventory_file.json","nodes":[
{"name":"db1","collectives":["mcollective"],"facts":{},"classes":[],"agents":[]},
{"name":"web1","collectives":["web"],"facts":{"cores":4},"classes":["apache"],"agents":[]}
]}
`},
		"format=inventory&state=late": {"application/json", `{"$schema":"https://choria.io/schemas/choria/discovery/v1/inventory_file.json","nodes":[` + "\n\n]}\n"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/nodes?"+query, nil))
		if without := w.Result().Trailer.Get(WithoutInventory); query == "format=inventory" && without != "1" {
			t.Errorf("%q have registered no inventory", without)
		}
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != want.kind || w.Body.String() != want.body {
			t.Errorf("%s: %d %s\n%s", query, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}

// many is a fleet of so many nodes, of which no more than a page is ever in memory.
type many struct {
	two
	nodes int
	most  int // that were asked for at once
}

func (m *many) Nodes(q fleet.Query) (page fleet.Page, err error) {
	m.most = max(m.most, q.Limit)
	first := 0
	if q.After != "" {
		first, _ = strconv.Atoi(q.After)
		first++
	}
	for n := first; n < min(first+q.Limit, m.nodes); n++ {
		page.Nodes = append(page.Nodes, fleet.NodeStatus{Name: fmt.Sprintf("%07d", n), State: fleet.Up})
	}
	if first+q.Limit < m.nodes {
		page.Next = page.Nodes[q.Limit-1].Name
	}
	return page, nil
}

// counted counts lines, and keeps none. Now and then it looks at what is in memory.
type counted struct {
	http.ResponseWriter
	lines, looked int
	heap          uint64 // the most that was
}

func (c *counted) Write(data []byte) (int, error) {
	c.lines += bytes.Count(data, []byte("\n"))
	if c.lines >= c.looked {
		c.looked += 50_000
		c.heap = max(c.heap, heap())
	}
	return len(data), nil
}

// heap is what is in use, in bytes.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestAWholeFleetIsWrittenPageByPage(t *testing.T) {
	for query, lines := range map[string]int{"format=csv": 300_001, "format=jsonl": 300_000, "format=names&limit=2500": 2500} {
		m := &many{nodes: 300_000}
		w := &counted{ResponseWriter: httptest.NewRecorder()}
		before := heap()
		handlerOf(Options{Fleet: m, Registrations: m, Events: m}).
			ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/nodes?"+query, nil))
		if w.lines != lines || m.most != atOnce {
			t.Errorf("%s: %d lines, %d nodes at once", query, w.lines, m.most)
		}
		if limit := before + 4<<20; w.heap > limit { // the nodes together are thirty times that
			t.Errorf("%s: %d bytes in memory, %d before", query, w.heap, before)
		}
		t.Logf("%s: at most %d KiB more in memory than before", query, (int64(w.heap)-int64(before))>>10)
	}
}

func TestAnAnswerThatBreaksOffIsNotTakenForTheWhole(t *testing.T) {
	for first, want := range map[int]string{0: "unexpected EOF", 8: "the stream is gone"} {
		server := httptest.NewServer(handlerOf(Options{Fleet: &breaking{first: first}, Registrations: two{}}))
		t.Cleanup(server.Close)
		response, err := http.Get(server.URL + "/api/v1/nodes?format=inventory")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		begun := first == 0
		if have := fmt.Sprint(string(body), err); !strings.Contains(have, want) || begun != (response.StatusCode == http.StatusOK) || begun != (err != nil) {
			t.Errorf("from web%d on: %s %s", first, response.Status, have)
		}
	}
}

// breaking is web0 to web9, or from another of them on.
type breaking struct {
	two
	first int
}

func (b breaking) Nodes(fleet.Query) (page fleet.Page, err error) {
	for n := b.first; n < 10; n++ {
		page.Nodes = append(page.Nodes, fleet.NodeStatus{Name: fmt.Sprintf("web%d", n)})
	}
	return page, nil
}

func TestStreamsAreAnsweredOrWhyNot(t *testing.T) {
	for want, err := range map[string]error{`{"streams":[],"changes":[]}`: nil, `{"error":"the server is gone"}`: errors.New("the server is gone")} {
		w := ask(t, Options{Streams: func(context.Context) (Streams, error) {
			return Streams{Streams: []jsconfig.StreamInfo{}, Changes: []jsconfig.Change{}}, err
		}}, http.MethodGet, "/api/v1/streams")
		if strings.TrimSpace(w.Body.String()) != want || (err == nil) != (w.Code == http.StatusOK) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// FuzzQuery looks for addresses that end the process, or ask for what they should not.
func FuzzQuery(f *testing.F) {
	f.Add("state=up&where=os.name=Debian&identity=/^web/&limit=5")
	f.Add("class=apache&agent=puppet&sort=-since&after=web1&format=csv&text=a&site=ams")
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		a, err := parseQuery(values)
		if err != nil {
			return
		}
		if a.Limit < 0 || a.Limit > mostNodes || a.format == "json" && (a.Limit == 0 || a.Limit > mostOnPage) || !slices.Contains(formats, a.format) {
			t.Errorf("%q is read as %+v", raw, a)
		}
		if len(a.Where) != len(slices.DeleteFunc(values["where"], func(v string) bool { return v == "" })) {
			t.Errorf("%q: %d conditions on facts", raw, len(a.Where))
		}
	})
}

func TestWithoutAFleetTheAPISaysSo(t *testing.T) {
	h := handlerOf(Options{})
	for _, path := range []string{"/api/v1/fleet", "/api/v1/nodes/web1"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"error":"nobody watches the nodes`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
