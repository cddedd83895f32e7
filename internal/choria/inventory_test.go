package choria

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func inventoryOf(t *testing.T, text string) *Inventory {
	t.Helper()
	var i Inventory
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		t.Fatal(err)
	}
	return &i
}

func TestInventoryFileHasWhatChoriaWants(t *testing.T) {
	for label, test := range map[string]struct {
		nodes map[string]*Inventory // one at most: maps have no order
		want  string
	}{
		"nobody": {nil, ""},
		"whole": {map[string]*Inventory{"web1": inventoryOf(t, `{"agents":[{"name":"rpcutil","version":"1"},{"name":"puppet"}],"classes":["base"],"facts":{"os":{"name":"<b>"}},"collectives":["a","b"],"status":{}}`)},
			`{"name":"web1","collectives":["a","b"],"facts":{"os":{"name":"\u003cb\u003e"}},"classes":["base"],"agents":["rpcutil","puppet"]}`},
		"facts alone":  {map[string]*Inventory{"web1": {Facts: json.RawMessage(` {"a":1}`)}}, `{"name":"web1","collectives":["mcollective"],"facts":{"a":1},"classes":[],"agents":[]}`},
		"nothing":      {map[string]*Inventory{"web1": nil}, `{"name":"web1","collectives":["mcollective"],"facts":{},"classes":[],"agents":[]}`},
		"no object":    {map[string]*Inventory{"web1": inventoryOf(t, `{"facts":null,"classes":null,"agents":null,"collectives":[]}`)}, `{"name":"web1","collectives":["mcollective"],"facts":{},"classes":[],"agents":[]}`},
		"facts a list": {map[string]*Inventory{"web1": {Facts: json.RawMessage(`[1]`)}}, `{"name":"web1","collectives":["mcollective"],"facts":{},"classes":[],"agents":[]}`},
	} {
		var b bytes.Buffer
		f := NewInventoryFile(&b)
		for name, i := range test.nodes {
			if err := f.Add(name, i); err != nil {
				t.Errorf("%s: %v", label, err)
			}
		}
		if err := f.Close(); err != nil {
			t.Errorf("%s: %v", label, err)
		}
		want := `{"$schema":"https://choria.io/schemas/choria/discovery/v1/inventory_file.json","nodes":[` + "\n" + test.want + "\n]}\n"
		if b.String() != want || !json.Valid(b.Bytes()) {
			t.Errorf("%s:\n%s", label, &b)
		}
	}
}

// full takes so many bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("full")
	}
	return len(p), nil
}

func TestInventoryFileSaysThatItIsNotWritten(t *testing.T) {
	for _, room := range []int{0, 100, 200} {
		f := NewInventoryFile(&full{room})
		if err := errors.Join(f.Add("web1", nil), f.Add("web2", nil), f.Close()); err == nil || !strings.Contains(err.Error(), "full") {
			t.Errorf("%d bytes: %v", room, err)
		}
	}
}
