// Package oracle compares what edges stored with what their hub stored. It reads streams, never counters, so that it
// does not believe what it checks. Only tests import it.
package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

// Message is a message that a stream stored.
type Message struct {
	Site     string // where it was stored first; empty: at the hub itself
	Stream   string
	Subject  string // at the edge
	Sequence uint64 // in the stream where it was read
	Stored   time.Time
	Header   nats.Header
	Data     []byte
	Life     int // of the stream where it was read: it grows when the stream is created again
}

// ID returns the message id that the message of an edge has at the hub.
func (m *Message) ID() string {
	if id := m.Header.Get(contract.HeaderMsgID); id != "" {
		return m.Site + "/" + id
	}
	return fmt.Sprintf("%s/%s/%d-%d", m.Site, m.Stream, m.Sequence, m.Stored.UnixNano())
}

// sender returns what identifies the sender within a site: the order of its messages is kept.
func (m *Message) sender() string {
	if rest, found := strings.CutPrefix(m.Subject, contract.SubjectFleetNode); found {
		_, node, _ := strings.Cut(rest, ".")
		return contract.SubjectFleetNode + node
	}
	if sender := m.Header.Get(contract.HeaderSender); sender != "" {
		return sender
	}
	var event struct{ Identity string }
	if json.Unmarshal(m.Data, &event) == nil && event.Identity != "" {
		return event.Identity
	}
	return m.Subject
}

// via returns the sites that a message at the hub has passed.
func (m *Message) via() string {
	if earlier := m.Header.Get(contract.HeaderVia); earlier != "" {
		return earlier + "," + m.Site
	}
	return m.Site
}

// Gap is a time in which an edge stored what it lost later, because its store was wiped, or restored from a backup.
// Of these messages the hub may have some, also those that were not recorded at the edge.
type Gap struct {
	Site     string
	From, To time.Time
}

func (g Gap) contains(site string, t time.Time) bool {
	return g.Site == site && !t.Before(g.From) && !t.After(g.To)
}

// Check is what is compared. The hub must have every message of the edges once, unchanged, and those of a sender in
// their order.
type Check struct {
	Edges []Message // in the order in which each edge stored them
	Hub   []Message // in the order in which the hub stored them
	Gaps  []Gap
	// Excused reports whether the edge's ledger names a message that the hub does not have; nil: no message.
	Excused func(m *Message) bool
	// Repeats reports whether the hub may have a message more than once; nil: none.
	Repeats func(m *Message) bool
	// Foreign reports whether the hub may have a message that no edge stored; nil: none.
	Foreign func(m *Message) bool
}

// maxProblems is how many problems of a kind are listed.
const maxProblems = 5

// problems collects what is wrong.
type problems struct {
	kinds map[string]int
	list  []string
}

func (p *problems) add(kind string, m *Message, detail string) {
	p.kinds[kind]++
	if p.kinds[kind] <= maxProblems {
		p.list = append(p.list, fmt.Sprintf("%s: %s %s %d stored %s: %s",
			kind, m.Site, m.Subject, m.Sequence, m.Stored.Format(time.RFC3339Nano), detail))
	}
}

// Problems returns what is wrong, in words; empty: nothing.
func (c *Check) Problems() []string {
	p := &problems{kinds: map[string]int{}}
	position := map[string]int{} // in Edges, by id
	for i := range c.Edges {
		m := &c.Edges[i]
		if _, twice := position[m.ID()]; twice {
			p.add("two messages with one id at the edge", m, m.ID())
		}
		position[m.ID()] = i
	}
	c.checkHub(position, p)
	for _, m := range c.Missing() {
		p.add("lost", &m, m.ID())
	}
	for _, kind := range slices.Sorted(maps.Keys(p.kinds)) {
		if n := p.kinds[kind]; n > maxProblems {
			p.list = append(p.list, fmt.Sprintf("%s: %d in all", kind, n))
		}
	}
	return p.list
}

// Missing returns the messages that the hub must have and does not.
func (c *Check) Missing() (missing []Message) {
	have := map[string]bool{}
	for i := range c.Hub {
		have[c.Hub[i].Header.Get(contract.HeaderMsgID)] = true
	}
	for i := range c.Edges {
		m := &c.Edges[i]
		if !have[m.ID()] && !c.inGap(m.Site, m.Stored) && (c.Excused == nil || !c.Excused(m)) {
			missing = append(missing, *m)
		}
	}
	return missing
}

func (c *Check) inGap(site string, stored time.Time) bool {
	return slices.ContainsFunc(c.Gaps, func(g Gap) bool { return g.contains(site, stored) })
}

// checkHub checks each message of the hub. An order and a number of copies are those of one life of the stream.
func (c *Check) checkHub(position map[string]int, p *problems) {
	type place struct {
		life int
		key  string
	}
	stored, last := map[place]bool{}, map[place]int{}
	for i := range c.Hub {
		m := &c.Hub[i]
		id := m.Header.Get(contract.HeaderMsgID)
		if stored[place{m.Life, id}] {
			if c.Repeats == nil || !c.Repeats(m) {
				p.add("stored twice", m, id)
			}
			continue
		}
		stored[place{m.Life, id}] = true
		at, known := position[id]
		if !known {
			if origin, ok := sourceTime(m); !(ok && c.inGap(m.Site, origin)) && (c.Foreign == nil || !c.Foreign(m)) {
				p.add("unknown at the edge", m, id)
			}
			continue
		}
		e := &c.Edges[at]
		if difference := differs(e, m); difference != "" {
			p.add("changed", m, difference)
		}
		sender := place{m.Life, e.Site + " " + e.Stream + " " + e.sender()}
		if before, found := last[sender]; found && at < before {
			p.add("out of order", m, "stored after "+c.Edges[before].ID())
		}
		last[sender] = max(last[sender], at)
	}
}

// sourceTime returns when a message of the hub was stored at its edge, from the header of the forwarder.
func sourceTime(m *Message) (t time.Time, ok bool) {
	var stream, site, incarnation string
	var sequence uint64
	var stored int64
	_, err := fmt.Sscanf(m.Header.Get(contract.HeaderSource), "%s %d %s %s %d",
		&stream, &sequence, &site, &incarnation, &stored)
	return time.UnixMilli(stored), err == nil
}

// differs returns in what a message at the hub differs from the one at the edge; empty: in nothing.
func differs(edge, hub *Message) string {
	switch {
	case hub.Site != edge.Site || hub.Subject != edge.Subject:
		return fmt.Sprintf("the subject was %s of %s", edge.Subject, edge.Site)
	case !bytes.Equal(hub.Data, edge.Data):
		return fmt.Sprintf("%d bytes, at the edge %d", len(hub.Data), len(edge.Data))
	case hub.Header.Get(contract.HeaderVia) != edge.via():
		return fmt.Sprintf("it came via %q", hub.Header.Get(contract.HeaderVia))
	}
	if _, ok := sourceTime(hub); !ok {
		return fmt.Sprintf("%s is %q", contract.HeaderSource, hub.Header.Get(contract.HeaderSource))
	}
	for name := range hub.Header {
		if strings.HasPrefix(name, contract.PrefixNATSHeader) && name != contract.HeaderMsgID {
			return "it has the header " + name
		}
	}
	if have, want := kept(hub.Header), kept(edge.Header); !maps.EqualFunc(have, want, slices.Equal[[]string]) {
		return fmt.Sprintf("the headers are %v, at the edge %v", have, want)
	}
	return ""
}

// kept returns the headers that a forwarder must not change.
func kept(h nats.Header) nats.Header {
	h = maps.Clone(h)
	maps.DeleteFunc(h, func(name string, _ []string) bool {
		return strings.HasPrefix(name, contract.PrefixNATSHeader) ||
			name == contract.HeaderVia || name == contract.HeaderSource
	})
	return h
}
