package apiclient

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/fleet"
)

func TestNodeQuery_Path(t *testing.T) {
	for _, test := range []struct {
		name  string
		query NodeQuery
		want  string
	}{
		{"all", NodeQuery{}, "/api/v1/nodes?format=jsonl"},
		{
			"every field",
			NodeQuery{
				States: []string{"up", "late"}, Sites: []string{"ams"}, Identities: []string{"/^web/"},
				Where: []string{"cores>8"}, Classes: []string{"a"}, Agents: []string{"b"}, Collectives: []string{"c"},
				Text: "x", Sort: "-since", After: "web1", Limit: 5,
			},
			"/api/v1/nodes?after=web1&agent=b&class=a&collective=c&format=jsonl&identity=%2F%5Eweb%2F&limit=5" +
				"&site=ams&sort=-since&state=up&state=late&text=x&where=cores%3E8",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if have := test.query.path("jsonl"); have != test.want {
				t.Errorf("%s; want %s", have, test.want)
			}
		})
	}
}

func TestClient_NodesPageByPage(t *testing.T) {
	c := open(t, options())
	seen := map[string]bool{}
	for q := (NodeQuery{Limit: 1000}); ; {
		page, err := c.Nodes(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page.Nodes {
			seen[n.Name] = true
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if len(seen) != fakeNodes {
		t.Errorf("%d nodes", len(seen))
	}
}

func TestClient_EachNode(t *testing.T) {
	c := open(t, options())
	n := 0
	err := c.EachNode(t.Context(), NodeQuery{}, func(fleet.NodeStatus) error { n++; return nil })
	if err != nil || n != fakeNodes {
		t.Errorf("%d nodes, %v", n, err)
	}
	stop := errors.New("enough")
	n = 0
	err = c.EachNode(t.Context(), NodeQuery{}, func(fleet.NodeStatus) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d nodes, %v", n, err)
	}
}

func TestClient_NodeNames(t *testing.T) {
	names, err := open(t, options()).NodeNames(t.Context(), NodeQuery{Limit: 2})
	if have := strings.Join(names, " "); err != nil || have != "node0000 node0001" {
		t.Errorf("%s %v", have, err)
	}
}

func TestClient_CopyNodes(t *testing.T) {
	c := open(t, options())
	for format, want := range map[string]struct {
		output  string // how it begins
		without int
	}{
		"csv":       {"name,state,", 0},
		"inventory": {`{"$schema":`, 2},
	} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			without, err := c.CopyNodes(t.Context(), &out, format, NodeQuery{Limit: 2})
			if err != nil || without != want.without || !strings.HasPrefix(out.String(), want.output) {
				t.Errorf("%d %v %s", without, err, &out)
			}
		})
	}
}

// An answer that ends early must not pass for a complete one, whatever reads it.
func TestClient_IncompleteAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{\"name\":\"web1\"}\n"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	c := New(Options{URL: server.URL})
	for name, read := range map[string]func() error{
		"EachNode": func() error {
			return c.EachNode(t.Context(), NodeQuery{}, func(fleet.NodeStatus) error { return nil })
		},
		"NodeNames": func() error { _, err := c.NodeNames(t.Context(), NodeQuery{}); return err },
		"CopyNodes": func() error {
			_, err := c.CopyNodes(t.Context(), &bytes.Buffer{}, "jsonl", NodeQuery{})
			return err
		},
		"FollowEvents": func() error {
			return c.FollowEvents(t.Context(), 0, func(*fleet.Event) error { return nil })
		},
		"Metrics": func() error { _, err := c.Metrics(t.Context()); return err },
	} {
		t.Run(name, func(t *testing.T) {
			if err := read(); !errors.Is(err, ErrIncomplete) {
				t.Errorf("%v", err)
			}
		})
	}
}
