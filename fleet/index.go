package fleet

import (
	"encoding/json"
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

// mostUnpacked is how large a registration may be that is looked into.
const mostUnpacked = 4 << 20

// word is a text that many nodes share.
type word = unique.Handle[string]

// inside is what is kept of a node's registrations.
type inside struct {
	facts   []word // indexed facts as JSON, in the configuration's order; empty: it has none
	classes word   // names, one a line
	agents  word
}

// index knows what is to be kept of registrations.
type index struct {
	names []string // GJSON paths into the facts
}

func newIndex(facts []string) *index { return &index{names: facts} }

func (i *index) empty() bool { return len(i.names) == 0 }

// at is where a fact is kept.
func (i *index) at(fact string) (int, bool) {
	at := slices.Index(i.names, fact)
	return at, at >= 0
}

// arrival reads a registration, by its headers: its node and its site become tokens of the
// subjects of events. What it carries is looked into only where facts are indexed, and may
// be anything; with the error comes an arrival then.
func (i *index) arrival(subject string, header func(key string) string, data []byte) (arrival, error) {
	a := arrival{name: header(contract.HeaderSender), site: header(contract.HeaderSite), topic: topicOf(subject, header(contract.HeaderSender))}
	received, err := time.Parse(time.RFC3339Nano, header(contract.HeaderReceived))
	if err := errors.Join(err, choria.CheckSender(a.name), choria.CheckSender(a.site)); err != nil {
		return arrival{}, fmt.Errorf("its headers are no adapter's: %w", err)
	}
	a.received = received
	if i.empty() {
		return a, nil
	}
	a.inside, err = i.look(header(contract.HeaderContent), data)
	return a, err
}

// look finds what is to be kept in a registration.
func (i *index) look(content string, data []byte) (*inside, error) {
	found, err := open(content, data)
	if err != nil || found.inventory == nil {
		return nil, err
	}
	return i.keep(found.inventory), nil
}

// content is a registration, unpacked.
type content struct {
	kind      string // Choria's: inventory, file or body
	data      []byte
	inventory *choria.Inventory // nil: a file or body that is no JSON object
}

// open unpacks a registration as it is stored: a kind tells that it is unpacked already. A
// file or body that is a JSON object are facts.
func open(kind string, data []byte) (content, error) {
	if kind == "" {
		body, err := choria.OutputBody(data)
		if err != nil {
			return content{}, err
		}
		unpacked, err := choria.Unpack(body, mostUnpacked)
		if err != nil {
			return content{}, err
		}
		kind, data = unpacked.Kind, unpacked.Payload
	}
	c := content{kind: kind, data: data}
	switch {
	case kind == choria.ContentInventory:
		c.inventory = new(choria.Inventory)
		if err := json.Unmarshal(data, c.inventory); err != nil {
			return c, fmt.Errorf("read inventory: %w", err)
		}
	case gjson.ValidBytes(data) && gjson.ParseBytes(data).IsObject():
		c.inventory = &choria.Inventory{Facts: data}
	}
	return c, nil
}

func (i *index) keep(found *choria.Inventory) *inside {
	kept := &inside{classes: lines(found.Classes), agents: lines(found.AgentNames()), facts: make([]word, len(i.names))}
	for at, path := range i.names {
		kept.facts[at] = unique.Make(gjson.GetBytes(found.Facts, path).Raw)
	}
	return kept
}

func lines(names []string) word { return unique.Make(strings.Join(names, "\n")) }
