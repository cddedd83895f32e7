package choria

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// inventoryOf decodes an inventory.
func inventoryOf(t *testing.T, text string) *Inventory {
	t.Helper()
	var i Inventory
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		t.Fatal(err)
	}
	return &i
}

func TestInventoryFile_WritesRequiredKeys(t *testing.T) {
	const bare = `{"name":"web1","collectives":["mcollective"],"facts":{},"classes":[],"agents":[]}`
	complete := inventoryOf(t, `{"agents":[{"name":"rpcutil","version":"1"},{"name":"puppet"}],"classes":["base"],`+
		`"facts":{"os":{"name":"<b>"}},"collectives":["a","b"],"status":{}}`)
	for name, test := range map[string]struct {
		nodes map[string]*Inventory // at most one: maps have no order
		want  string
	}{
		"no nodes": {nil, ""},
		"complete": {map[string]*Inventory{"web1": complete}, `{"name":"web1","collectives":["a","b"],` +
			`"facts":{"os":{"name":"\u003cb\u003e"}},"classes":["base"],"agents":["rpcutil","puppet"]}`},
		"only facts": {map[string]*Inventory{"web1": {Facts: json.RawMessage(` {"a":1}`)}},
			`{"name":"web1","collectives":["mcollective"],"facts":{"a":1},"classes":[],"agents":[]}`},
		"no inventory": {map[string]*Inventory{"web1": nil}, bare},
		"nulls": {map[string]*Inventory{
			"web1": inventoryOf(t, `{"facts":null,"classes":null,"agents":null,"collectives":[]}`),
		}, bare},
		"facts a list": {map[string]*Inventory{"web1": {Facts: json.RawMessage(`[1]`)}}, bare},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			f := NewInventoryFile(&b)
			for node, i := range test.nodes {
				if err := f.Add(node, i); err != nil {
					t.Error(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			want := `{"$schema":"https://choria.io/schemas/choria/discovery/v1/inventory_file.json","nodes":[` +
				"\n" + test.want + "\n]}\n"
			if b.String() != want || !json.Valid(b.Bytes()) {
				t.Errorf("have\n%s\nwant\n%s", &b, want)
			}
		})
	}
}

// limitedWriter fails after room bytes.
type limitedWriter struct{ room int }

func (f *limitedWriter) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("full")
	}
	return len(p), nil
}

func TestInventoryFile_ReturnsWriteErrors(t *testing.T) {
	for _, room := range []int{0, 100, 200} {
		f := NewInventoryFile(&limitedWriter{room})
		err := errors.Join(f.Add("web1", nil), f.Add("web2", nil), f.Close())
		if err == nil || !strings.Contains(err.Error(), "full") {
			t.Errorf("%d bytes: %v", room, err)
		}
	}
}
