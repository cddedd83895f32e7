package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/fleet"
)

func TestNodeWriter_Formats(t *testing.T) {
	const (
		csvHeader = "name,state,since,reason,site,registered,connected,address,classes,agents,collectives,as_of," +
			"facts.os.name\n"
		schema = `{"$schema":"https://choria.io/schemas/choria/discovery/v1/inventory_file.json","nodes":[` + "\n"
	)
	h := newHandler(withFleet())
	for query, want := range map[string]struct{ kind, body string }{
		"format=names":         {"text/plain; charset=utf-8", "db1\nweb1\n"},
		"format=names&limit=1": {"text/plain; charset=utf-8", "db1\n"},
		"format=csv": {"text/csv; charset=utf-8", csvHeader +
			`db1,down,2026-11-25T10:00:00Z,"its connection ended, and none came back",ams,2026-11-25T10:00:00Z,,,,,,,
web1,up,2026-11-25T10:00:00Z,registered,ams,2026-11-25T10:00:00Z,yes,192.0.2.7,apache base,,,,"De""bian"
`},
		"format=csv&state=late": {"text/csv; charset=utf-8", csvHeader},
		"format=jsonl&state=up": {"application/x-ndjson", `{"name":"web1","state":"up","since":"2026-11-25T10:00:00Z",` +
			`"reason":"registered","site":"ams","registered":"2026-11-25T10:00:00Z",` +
			`"connection":{"connected":"yes","address":"192.0.2.7","verified":false},` +
			`"classes":["apache","base"],"facts":{"os.name":"De\"bian"}}` + "\n"},
		"format=flatfile": {"text/plain; charset=utf-8", "db1\nweb1\n"},
		"format=inventory": {"application/json", schema +
			`{"name":"db1","collectives":["mcollective"],"facts":{},"classes":[],"agents":[]},
{"name":"web1","collectives":["web"],"facts":{"cores":4},"classes":["apache"],"agents":[]}
]}
`},
		"format=inventory&state=late": {"application/json", schema + "\n]}\n"},
	} {
		t.Run(query, func(t *testing.T) {
			w := request(h, http.MethodGet, "/api/v1/nodes?"+query)
			if without := w.Result().Trailer.Get(WithoutInventory); query == "format=inventory" && without != "1" {
				t.Errorf("%s: %q", WithoutInventory, without)
			}
			kind := w.Header().Get("Content-Type")
			if w.Code != http.StatusOK || kind != want.kind || w.Body.String() != want.body {
				t.Errorf("%d %s\n%s", w.Code, kind, w.Body)
			}
		})
	}
}

// A name that nodes of several sites have is written once, since Choria's clients know no sites.
func TestNodeWriter_WritesANameOnce(t *testing.T) {
	var text strings.Builder
	w := &nameWriter{Writer: &text}
	for _, page := range [][]string{{"web1", "web2", "web2"}, {"web2", "web3"}} {
		var nodes []fleet.NodeStatus
		for _, name := range page {
			nodes = append(nodes, fleet.NodeStatus{Name: name})
		}
		if err := w.write(nodes); err != nil {
			t.Fatal(err)
		}
	}
	if have := text.String(); have != "web1\nweb2\nweb3\n" {
		t.Errorf("%q", have)
	}
}
