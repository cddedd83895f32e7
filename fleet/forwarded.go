package fleet

import (
	"strings"
	"time"
	"unique"
)

// A node of another site is in the view as its edge sees it: its state is that of the last event that the edge
// forwarded. Time changes nothing of it, and it causes no events here.

const (
	// maxReason and maxAddress are how many bytes of an event's reason and address are kept.
	maxReason, maxAddress = 512, 64
	// maxHidden is how many nodes of a site may be hidden.
	maxHidden = 100_000
	// hiddenTime is how long a node stays hidden.
	hiddenTime = 24 * time.Hour
)

// forwarded is what the registry knows of a node of another site in addition to its signals.
type forwarded struct {
	site     *remoteSite
	sequence uint64 // of its last event, in the stream of events; 0: none was read
	source   source // of its last event
	reason   interned
	rivals   interned // reason of its conflict
	address  string
	snapshot uint64    // number of the last snapshot that had the node
	hidden   time.Time // since when it is hidden; zero: it is in the view
}

// position is where an event was read.
type position struct {
	sequence uint64 // in the stream of events of this appliance; 0: it is from a snapshot
	source   source
}

// newForwarded returns a hidden node of a site; ok is false if the site has too many of them.
func (s *remoteSite) newForwarded(name string, now time.Time) (n *node, ok bool) {
	if len(s.hidden) >= maxHidden {
		return nil, false
	}
	n = &node{name: name, site: s.name, remote: &forwarded{site: s, hidden: now}, scheduleIndex: -1}
	s.hidden[name] = n
	return n, true
}

// find returns a node of the site, also if it is hidden; nil: there is none.
func (s *remoteSite) find(name string) *node {
	if n := s.nodes[name]; n != nil {
		return n
	}
	return s.hidden[name]
}

// isOlder reports whether a node's last event is later than one at a position.
func (f *forwarded) isOlder(at position) bool {
	return at.sequence > 0 && at.sequence <= f.sequence || at.source.isBefore(f.source)
}

// applyForwarded applies an event that an edge forwarded. One that was read before, or follows a later one of the
// same node, changes nothing.
func (r *registry) applyForwarded(e *Event, at position, now time.Time) {
	s := r.remotes[e.Site]
	switch {
	case e.Node == "":
		r.applySiteEvent(e, at)
	case s == nil: // it is not listed any more
	default:
		r.applyNodeEvent(s, e, at, now)
	}
}

func (r *registry) applyNodeEvent(s *remoteSite, e *Event, at position, now time.Time) {
	n := s.find(e.Node)
	if n == nil {
		var ok bool
		if n, ok = s.newForwarded(e.Node, now); !ok {
			return
		}
	} else if n.remote.isOlder(at) {
		return
	}
	n.remote.sequence = max(n.remote.sequence, at.sequence)
	n.remote.source = at.source
	switch e.Event {
	case eventConflict:
		n.conflict, n.remote.rivals = e.Since, unique.Make(printableText(e.Reason, maxReason))
	case eventConflictEnd:
		n.conflict, n.remote.rivals = time.Time{}, interned{}
	default:
		r.setForwarded(n, e, now)
	}
	s.noteConflict(n)
}

// noteConflict keeps the list of nodes that are in the view and in conflict.
func (s *remoteSite) noteConflict(n *node) {
	if n.conflict.IsZero() || !n.isShown() {
		delete(s.conflicts, n.name)
	} else {
		s.conflicts[n.name] = n
	}
}

// isShown reports whether a node of another site is in the view.
func (n *node) isShown() bool { return n.remote.hidden.IsZero() }

// setForwarded makes the state of a node that of an event.
func (r *registry) setForwarded(n *node, e *Event, now time.Time) {
	s := n.remote.site
	if n.isShown() {
		s.counts[n.announced]--
	}
	n.Received, n.Ended, n.ShutdownAt = latest(n.Received, e.Received), e.Ended, e.ShutdownAt
	n.gaps = gapsOf(e.interval())
	n.announced, n.since = e.To, e.Since
	n.remote.reason = unique.Make(printableText(e.Reason, maxReason))
	n.remote.address = printableText(e.Address, maxAddress)
	switch {
	case e.To != Forgotten:
		s.counts[e.To]++
		if !n.isShown() {
			r.show(n)
		}
	case n.isShown():
		r.hide(n, now)
	}
}

// show adds a hidden node to the view.
func (r *registry) show(n *node) {
	s := n.remote.site
	delete(s.hidden, n.name)
	n.remote.hidden = time.Time{}
	s.nodes[n.name] = n
	r.byName.Set(n)
}

// hide removes a node from the view and remembers its position, so that an older event does not bring it back.
func (r *registry) hide(n *node, now time.Time) {
	s := n.remote.site
	delete(s.nodes, n.name)
	r.byName.Delete(n)
	n.facts, n.factsRead, n.conflict = nil, 0, time.Time{}
	n.remote.hidden = now
	s.hidden[n.name] = n
}

// registeredForwarded records a registration that an edge forwarded. It has facts and does not change a
// state. A node whose first event has not arrived stays hidden.
func (r *registry) registeredForwarded(u update, now time.Time) {
	s := r.remotes[u.site]
	if s == nil {
		return
	}
	n := s.find(u.name)
	if n == nil {
		var ok bool
		if n, ok = s.newForwarded(u.name, now); !ok {
			return
		}
	}
	isNew := n.isNew(u, now)
	n.noteRegistration(u, isNew, now)
	if isNew {
		n.Received = latest(n.Received, u.received)
	}
}

// find returns the node of a registration; nil: it is not known.
func (r *registry) find(u update) *node {
	if !u.forwarded {
		return r.nodes[u.name]
	}
	if s := r.remotes[u.site]; s != nil {
		return s.find(u.name)
	}
	return nil
}

// shownReason returns why the node is in its state, for operators.
func (n *node) shownReason(r *Rules) string {
	if n.remote != nil {
		return n.remote.reason.Value()
	}
	return n.reason(n.announced, r)
}

// shownConnection returns what is known of the node's connection. An edge reports its end, and the address.
func (n *node) shownConnection() Connection {
	if n.remote == nil {
		return n.connections.status()
	}
	c := Connection{Connected: "unknown", Address: n.remote.address, Ended: n.Ended}
	if (n.announced == Down || n.announced == Stopped) && !n.Ended.IsZero() {
		c.Connected = "no"
	}
	return c
}

// key returns what distinguishes nodes of the same name in the order of nodes: the site, or empty for the node of this
// appliance.
func (n *node) key() string {
	if n.remote == nil {
		return n.provisioning
	}
	return n.site
}

// has reports whether a node is in the view.
func (r *registry) has(n *node) bool {
	switch {
	case n.provisioning != "":
		return r.provisioning[n.connections.open[0].id] == n
	case n.remote == nil:
		return r.nodes[n.name] == n
	}
	return n.remote.site.nodes[n.name] == n
}

// lookup returns the node with an ID, or else an entry of a node in provisioning; nil: there is none.
func (r *registry) lookup(id NodeID) *node {
	local := r.nodes[id.Name]
	switch s := r.remotes[id.Site]; {
	case s != nil && s.nodes[id.Name] != nil:
		return s.nodes[id.Name]
	case local != nil && (id.Site == "" || id.Site == r.home || id.Site == local.site):
		return local
	case id.Site == r.home:
		return r.provisioningNamed(id.Name)
	case id.Site != "":
		return nil
	}
	for _, s := range r.sortedSites() {
		if n := s.nodes[id.Name]; n != nil {
			return n
		}
	}
	return r.provisioningNamed(id.Name)
}

// printableText returns the first bytes of a text from another appliance, without control characters.
func printableText(text string, limit int) string {
	text = strings.Map(printable, strings.ToValidUTF8(text, "?"))
	for i := range text {
		if i > limit {
			return strings.ToValidUTF8(text[:limit], "")
		}
	}
	return text
}
