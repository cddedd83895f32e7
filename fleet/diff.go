package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
)

// Change is one thing that a registration says otherwise than the one before.
type Change struct {
	Kind   string          `json:"kind"` // fact, class or agent
	Name   string          `json:"name"` // of a fact: its path
	Change string          `json:"change"`
	Before json.RawMessage `json:"before,omitempty"` // facts
	Now    json.RawMessage `json:"now,omitempty"`
}

// mostDepth is how deep facts are looked into, each level once more.
const mostDepth = 32

// What a Change is.
const (
	changeAdded   = "added"
	changeRemoved = "removed"
	changeChanged = "changed"
)

// Diff is what a node's last registration changed. Without one before there is nothing to
// compare.
type Diff struct {
	Node     string   `json:"node"`
	Now      *Arrival `json:"now,omitempty"`
	Before   *Arrival `json:"before,omitempty"`
	Changes  []Change `json:"changes"`
	Volatile int      `json:"volatile"` // changes of volatile facts, which are left out
}

// Diff compares a node's last two registrations, if it is in the view.
func (f *Fleet) Diff(ctx context.Context, name string) (d Diff, ok bool, err error) {
	if _, ok := f.Node(name); !ok {
		return d, false, nil
	}
	d = Diff{Node: name, Changes: []Change{}}
	last, err := f.Registrations(ctx, name, 2)
	if err != nil || len(last) == 0 {
		return d, true, err
	}
	d.Now = &last[0].Arrival
	if len(last) == 1 {
		return d, true, nil
	}
	d.Before = &last[1].Arrival
	for _, c := range compare(last[1].content, last[0].content) {
		if c.Kind == "fact" && volatile(c.Name, f.cfg.Volatile) {
			d.Volatile++
			continue
		}
		d.Changes = append(d.Changes, c)
	}
	return d, true, nil
}

// volatile tells whether a fact is among those, or within one of them.
func volatile(name string, among []string) bool {
	return slices.ContainsFunc(among, func(fact string) bool { return name == fact || strings.HasPrefix(name, fact+".") })
}

// compare tells what is in two registrations, kind by kind.
func compare(before, now content) []Change {
	return slices.Concat(
		changes("fact", before.facts(), now.facts()),
		changes("class", before.names((*choria.Inventory).ClassNames), now.names((*choria.Inventory).ClassNames)),
		changes("agent", before.names((*choria.Inventory).AgentNames), now.names((*choria.Inventory).AgentNames)))
}

func (c content) facts() map[string]json.RawMessage {
	facts := map[string]json.RawMessage{}
	if c.inventory != nil {
		flatten("", c.inventory.Facts, mostDepth, facts)
	}
	return facts
}

func (c content) names(of func(*choria.Inventory) []string) map[string]json.RawMessage {
	names := map[string]json.RawMessage{}
	if c.inventory != nil {
		for _, name := range of(c.inventory) {
			names[name] = nil
		}
	}
	return names
}

// flatten finds every value that is no object, by its path, and objects that are too deep.
// Lists are values: what moved in one is not told apart from what changed.
func flatten(path string, value json.RawMessage, depth int, into map[string]json.RawMessage) {
	var object map[string]json.RawMessage
	if depth == 0 || json.Unmarshal(value, &object) != nil || len(object) == 0 {
		if path != "" {
			into[path] = value
		}
		return
	}
	for key, inner := range object {
		if path != "" {
			key = path + "." + key
		}
		flatten(key, inner, depth-1, into)
	}
}

func changes(kind string, before, now map[string]json.RawMessage) (found []Change) {
	all := maps.Clone(before)
	maps.Copy(all, now)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was, wasThere := before[name]
		is, isThere := now[name]
		c := Change{Kind: kind, Name: name, Change: changeChanged, Before: was, Now: is}
		switch {
		case !wasThere:
			c.Change = changeAdded
		case !isThere:
			c.Change = changeRemoved
		case same(was, is):
			continue
		}
		found = append(found, c)
	}
	return found
}

// same compares JSON whatever blanks are in it.
func same(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var one, other bytes.Buffer
	return json.Compact(&one, a) == nil && json.Compact(&other, b) == nil && bytes.Equal(one.Bytes(), other.Bytes())
}
