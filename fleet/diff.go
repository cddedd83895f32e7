package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/muster-appliance/muster/internal/choria"
)

// maxDepth is how many levels of nested facts are compared one by one; what is nested deeper is
// compared as one value.
const maxDepth = 32

// maxPaths is the length, in bytes, of the paths of all facts of a registration that are compared one
// by one. The path of a fact has the names of all objects around it, so nested objects with long names
// would take far more memory than the registration. An object whose members have longer paths is
// compared as one value.
const maxPaths = 4 << 20

// maxFacts is how many facts of a registration are compared one by one. An object whose members would
// exceed it is compared as one value. Real nodes have some thousands.
const maxFacts = 20_000

// Values of Change.Change.
const (
	changeAdded   = "added"
	changeRemoved = "removed"
	changeChanged = "changed"
)

// Change is one difference between two registrations of a node.
type Change struct {
	Kind   string          `json:"kind"`             // fact, class or agent
	Name   string          `json:"name"`             // of a class or agent, or the path of a fact
	Change string          `json:"change"`           // added, removed or changed
	Before json.RawMessage `json:"before,omitempty"` // of a fact
	Now    json.RawMessage `json:"now,omitempty"`    // of a fact
}

// Diff is what changed between a node's last two registrations.
type Diff struct {
	Node     string            `json:"node"`
	Now      *RegistrationInfo `json:"now,omitempty"`    // nil: there is no registration in the stream
	Before   *RegistrationInfo `json:"before,omitempty"` // nil: there is only one
	Changes  []Change          `json:"changes"`
	Volatile int               `json:"volatile"` // number of changed volatile facts, which Changes leaves out
}

// Diff compares a node's last two registrations. ok is false if the node is not in the view.
func (f *Fleet) Diff(ctx context.Context, id NodeID) (d Diff, ok bool, err error) {
	if _, ok := f.Node(id); !ok {
		return d, false, nil
	}
	d = Diff{Node: id.Name, Changes: []Change{}}
	last, err := f.Registrations(ctx, id, 2)
	if err != nil || len(last) == 0 {
		return d, true, err
	}
	d.Now = &last[0].RegistrationInfo
	if len(last) == 1 {
		return d, true, nil
	}
	d.Before = &last[1].RegistrationInfo
	for _, c := range compare(last[1].content, last[0].content) {
		if c.Kind == "fact" && choria.Volatile(f.cfg.Volatile).Contains(c.Name) {
			d.Volatile++
			continue
		}
		d.Changes = append(d.Changes, c)
	}
	return d, true, nil
}

// compare returns the differences between two registrations: facts, then classes, then agents,
// each in the order of names.
func compare(before, now choria.StoredContent) []Change {
	classes, agents := (*choria.Inventory).ClassNames, (*choria.Inventory).AgentNames
	return slices.Concat(
		changes("fact", factsOf(before), factsOf(now)),
		changes("class", namesOf(before, classes), namesOf(now, classes)),
		changes("agent", namesOf(before, agents), namesOf(now, agents)))
}

// factsOf returns the values of all facts by path.
func factsOf(c choria.StoredContent) map[string]json.RawMessage {
	facts := map[string]json.RawMessage{}
	if c.Inventory != nil {
		(&flattener{facts, maxPaths, maxFacts}).flatten("", c.Inventory.Facts, maxDepth)
	}
	return facts
}

// namesOf returns the names that get returns, as the keys of a map with nil values.
func namesOf(c choria.StoredContent, get func(*choria.Inventory) []string) map[string]json.RawMessage {
	names := map[string]json.RawMessage{}
	if c.Inventory != nil {
		for _, name := range get(c.Inventory) {
			names[name] = nil
		}
	}
	return names
}

// flattener collects facts by path.
type flattener struct {
	into  map[string]json.RawMessage
	paths int // bytes that further paths may have
	facts int // how many further facts there may be
}

// flatten adds, by path, every value that is not an object, every empty object, and every object
// that is nested deeper than depth or exceeds maxPaths or maxFacts. A list is one value: an element that moved
// cannot be told from one that changed.
func (f *flattener) flatten(path string, value json.RawMessage, depth int) {
	var object map[string]json.RawMessage
	if depth == 0 || json.Unmarshal(value, &object) != nil || len(object) == 0 || !f.reserve(path, object) {
		if path != "" {
			f.into[path] = value
		}
		return
	}
	for _, key := range slices.Sorted(maps.Keys(object)) { // in order, so that the limits end both sides alike
		inner := object[key]
		if path != "" {
			key = path + "." + key
		}
		f.flatten(key, inner, depth-1)
	}
}

// reserve reports whether an object's members and their paths fit, and counts them.
func (f *flattener) reserve(path string, object map[string]json.RawMessage) bool {
	bytes := len(object) * (len(path) + 1)
	for key := range object {
		bytes += len(key)
	}
	if bytes > f.paths || len(object) > f.facts {
		return false
	}
	f.paths, f.facts = f.paths-bytes, f.facts-len(object)
	return true
}

func changes(kind string, before, now map[string]json.RawMessage) (found []Change) {
	all := maps.Clone(before)
	maps.Copy(all, now)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		oldValue, existed := before[name]
		newValue, exists := now[name]
		c := Change{Kind: kind, Name: name, Change: changeChanged, Before: oldValue, Now: newValue}
		switch {
		case !existed:
			c.Change = changeAdded
		case !exists:
			c.Change = changeRemoved
		case equalJSON(oldValue, newValue):
			continue
		}
		found = append(found, c)
	}
	return found
}

// equalJSON reports whether two JSON values are equal apart from white space.
func equalJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var compactA, compactB bytes.Buffer
	return json.Compact(&compactA, a) == nil && json.Compact(&compactB, b) == nil &&
		bytes.Equal(compactA.Bytes(), compactB.Bytes())
}
