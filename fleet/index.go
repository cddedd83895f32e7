package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unique"

	"github.com/muster-appliance/muster/internal/choria"
)

// Headers on a stored registration; the adapter writes them.
const (
	headerSender   = "Muster-Sender"
	headerReceived = "Muster-Received"
	headerSite     = "Muster-Site"
	headerContent  = "Muster-Content" // only where the registration is stored unpacked
)

// mostUnpacked is how large a registration may be that is looked into.
const mostUnpacked = 4 << 20

// word is a text that many nodes share.
type word = unique.Handle[string]

// inside is what is kept of a node's registrations.
type inside struct {
	facts   []word // values of the indexed facts, in the configuration's order; empty: it has none
	classes word   // names, one a line
	agents  word
}

// index knows what is to be kept of registrations.
type index struct {
	names []string
	paths [][]string
}

func newIndex(facts []string) *index {
	i := &index{names: facts}
	for _, name := range facts {
		i.paths = append(i.paths, strings.Split(name, "."))
	}
	return i
}

func (i *index) empty() bool { return len(i.names) == 0 }

// arrival reads a registration, by its headers: its node and its site become tokens of the
// subjects of events. What it carries is looked into only where facts are indexed, and may
// be anything; with the error comes an arrival then.
func (i *index) arrival(header func(key string) string, data []byte) (arrival, error) {
	a := arrival{name: header(headerSender), site: header(headerSite)}
	received, err := time.Parse(time.RFC3339Nano, header(headerReceived))
	if err := errors.Join(err, choria.CheckSender(a.name), choria.CheckSender(a.site)); err != nil {
		return arrival{}, fmt.Errorf("its headers are no adapter's: %w", err)
	}
	a.received = received
	if i.empty() {
		return a, nil
	}
	a.inside, err = i.look(header(headerContent), data)
	return a, err
}

// look finds what is to be kept in a registration.
func (i *index) look(content string, data []byte) (*inside, error) {
	if content == "" {
		body, err := choria.OutputBody(data)
		if err != nil {
			return nil, err
		}
		unpacked, err := choria.Unpack(body, mostUnpacked)
		if err != nil {
			return nil, err
		}
		content, data = unpacked.Kind, unpacked.Payload
	}
	var found choria.Inventory
	switch content {
	case choria.ContentInventory:
		if err := json.Unmarshal(data, &found); err != nil {
			return nil, fmt.Errorf("read inventory: %w", err)
		}
	default:
		if json.Unmarshal(data, &found.Facts) != nil {
			return nil, nil // a file or a body that is no JSON object: nothing to keep
		}
	}
	return i.keep(&found), nil
}

func (i *index) keep(found *choria.Inventory) *inside {
	kept := &inside{classes: lines(found.Classes), agents: lines(found.AgentNames()), facts: make([]word, len(i.paths))}
	for at, path := range i.paths {
		kept.facts[at] = unique.Make(fact(found.Facts, path))
	}
	return kept
}

// fact is the value at a path into the facts, as text: strings as they are, everything
// else as JSON.
func fact(facts map[string]json.RawMessage, path []string) string {
	value, ok := facts[path[0]]
	for _, key := range path[1:] {
		var inner map[string]json.RawMessage
		if !ok || json.Unmarshal(value, &inner) != nil {
			return ""
		}
		value, ok = inner[key]
	}
	if !ok {
		return ""
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

func lines(names []string) word { return unique.Make(strings.Join(names, "\n")) }
