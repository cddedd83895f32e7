package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/tidwall/gjson"
)

// What is kept of a node for queries: facts, classes, agents and collectives beyond these limits are not
// kept, as if the node did not have them.
const (
	maxValue     = 4 << 10  // bytes of the JSON of a fact
	maxNames     = 1000     // classes, agents, and collectives
	maxNameBytes = 32 << 10 // of all classes together, of all agents, and of all collectives
)

// interned is a text that many nodes share; equal texts are in memory once.
type interned = unique.Handle[string]

// indexedFacts are the values of a node that queries can select by.
type indexedFacts struct {
	values      []interned // JSON of each fact, in the order of index.paths; empty: the node lacks the fact
	classes     interned   // names, one per line
	agents      interned   // names, one per line
	collectives interned   // names, one per line; empty: not known
	omitted     int        // facts, classes, agents and collectives that are beyond the limits
}

// index has the configured facts, and reads them from registrations.
type index struct {
	paths []string // GJSON paths into the facts
}

func newIndex(facts []string) *index { return &index{paths: facts} }

// empty reports whether no fact is configured. Registrations are then not read, only their
// headers.
func (i *index) empty() bool { return len(i.paths) == 0 }

// position returns the position of a fact in indexedFacts.values.
func (i *index) position(fact string) (position int, ok bool) {
	position = slices.Index(i.paths, fact)
	return position, position >= 0
}

// newUpdate reads the headers of a stored registration. Nodes and sites become tokens of the subjects of events,
// so the headers are checked.
func newUpdate(subject string, header func(key string) string) (update, error) {
	name, site := header(contract.HeaderSender), header(contract.HeaderSite)
	received, err := time.Parse(time.RFC3339Nano, header(contract.HeaderReceived))
	if err := errors.Join(err, choria.CheckSender(name), choria.CheckSender(site)); err != nil {
		return update{}, fmt.Errorf("headers are not those of an adapter: %w", err)
	}
	u := update{name: name, site: unique.Make(site).Value(), received: received, subject: subjectTemplate(subject, name)}
	if of, _, forwarded := contract.CutSite(subject); forwarded {
		u.site, u.forwarded = unique.Make(of).Value(), true
	}
	return u, nil
}

// indexContent returns the indexed facts of a registration; nil if it has no facts.
func (i *index) indexContent(kind string, data []byte) (*indexedFacts, error) {
	c, err := choria.UnpackStored(kind, data)
	if err != nil || c.Inventory == nil {
		return nil, err
	}
	return i.indexInventory(c.Inventory), nil
}

// indexInventory returns the indexed facts of an inventory.
func (i *index) indexInventory(inventory *choria.Inventory) *indexedFacts {
	facts := &indexedFacts{values: make([]interned, len(i.paths))}
	facts.classes = facts.keepNames(inventory.Classes)
	facts.agents = facts.keepNames(inventory.AgentNames())
	facts.collectives = facts.keepNames(inventory.Collectives)
	for position, path := range i.paths {
		value := gjson.GetBytes(inventory.Facts, path).Raw
		if len(value) > maxValue {
			value = ""
			facts.omitted++
		}
		facts.values[position] = unique.Make(value)
	}
	return facts
}

// keepNames returns the first names that are within the limits, one per line, and counts the others.
func (f *indexedFacts) keepNames(names []string) interned {
	kept, bytes := 0, 0
	for kept < min(len(names), maxNames) && bytes+len(names[kept]) < maxNameBytes {
		bytes += len(names[kept]) + 1
		kept++
	}
	f.omitted += len(names) - kept
	return unique.Make(strings.Join(names[:kept], "\n"))
}

func splitLines(names interned) []string {
	if names.Value() == "" {
		return nil
	}
	return strings.Split(names.Value(), "\n")
}
