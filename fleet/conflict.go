package fleet

import (
	"fmt"
	"slices"
	"time"
)

// A conflict is that two nodes use one identity at the same time. It must not be taken for one if a
// node reconnects, from whatever address: its old connection may stay open until the broker's pings
// end it. So a conflict needs two connections that have both been open for Rules.Conflict, which is
// longer than a dead connection stays open, and that either
//
//   - come from different addresses, or
//   - have both published registrations since the later of them began.
//
// The second is for two processes of one machine, or behind one address. One process may have several
// connections, but registers over one. Only connections with the identity as their name count, as
// Choria's servers give it: other programs with the certificate of a node have other names. Clients
// may have any number of connections.

// Conflict is shown for a node whose identity two nodes use.
type Conflict struct {
	Since       time.Time       `json:"since"`       // when both were connected
	Connections []ConflictParty `json:"connections"` // two; none until both are connected again after a restart
	reason      string          // of a node of another site: as its edge describes the conflict
}

// ConflictParty is one of the connections in a conflict.
type ConflictParty struct {
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
}

// String describes the conflict.
func (c *Conflict) String() string {
	if c.reason != "" {
		return c.reason
	}
	if len(c.Connections) < 2 {
		return "two nodes used this identity before the appliance was restarted"
	}
	a, b := c.Connections[0], c.Connections[1]
	return fmt.Sprintf("two nodes use this identity, connected from %s since %s and from %s since %s",
		a.Address, a.Since.UTC().Format(time.RFC3339), b.Address, b.Since.UTC().Format(time.RFC3339))
}

// shared returns 1 if several of the connections may be in conflict, otherwise 0.
func (cs *connections) shared() int {
	named := 0
	for _, c := range cs.open {
		if c.named {
			named++
		}
	}
	if named < 2 {
		return 0
	}
	return 1
}

// rivals returns the first two connections that are in conflict if both stay open, the earlier first; nil
// if there are none. cs may be nil.
func (cs *connections) rivals() []openConnection {
	if cs == nil || len(cs.open) < 2 {
		return nil
	}
	var earlier []openConnection
	for _, c := range cs.open { // in the order in which they began
		if !c.named {
			continue
		}
		i := slices.IndexFunc(earlier, func(e openConnection) bool {
			return e.address != c.address || e.registered.After(c.since) && !c.registered.IsZero()
		})
		if i >= 0 {
			return []openConnection{earlier[i], c}
		}
		earlier = append(earlier, c)
	}
	return nil
}

// conflictOf returns the conflict as it is shown; nil if there is none.
func (n *node) conflictOf() *Conflict {
	if n.conflict.IsZero() {
		return nil
	}
	c := &Conflict{Since: n.conflict, Connections: []ConflictParty{}}
	if n.remote != nil {
		c.reason = n.remote.rivals.Value()
	}
	for _, rival := range n.connections.rivals() {
		c.Connections = append(c.Connections, ConflictParty{rival.address, rival.since})
	}
	return c
}

// updateConflict begins or ends the conflict of a node that has registered, and emits an event for each.
// A conflict that a previous process began ends at the earliest Rules.Conflict after the start: both
// nodes have to connect again.
func (r *registry) updateConflict(n *node, now time.Time) {
	if r.rules.Conflict == 0 || r.nodes[n.name] != n || !n.hasRegistered() {
		return
	}
	rivals := n.connections.rivals()
	switch restoredUntil := r.rules.Started.Add(r.rules.Conflict); {
	case rivals != nil && n.conflict.IsZero():
		if at := rivals[1].since.Add(r.rules.Conflict); now.Before(at) {
			r.schedule.notLater(n, at)
			return
		}
		n.conflict = rivals[1].since
		r.conflicts[n.name] = n
		r.emit(n.conflictEvent(eventConflict, n.conflict, n.conflictOf().String()))
	case rivals == nil && !n.conflict.IsZero() && n.conflict.Before(r.rules.Started) && now.Before(restoredUntil):
		r.schedule.notLater(n, restoredUntil)
	case rivals == nil && !n.conflict.IsZero():
		e := n.conflictEvent(eventConflictEnd, now, "one node uses this identity")
		n.conflict = time.Time{}
		delete(r.conflicts, n.name)
		r.emit(e)
	}
}

func (n *node) conflictEvent(kind string, since time.Time, reason string) *Event {
	return &Event{Event: kind, Node: n.name, Site: n.site, Received: n.Received, Since: since, Reason: reason}
}

// restoreConflict continues a conflict that had not ended when the previous process did.
func (r *registry) restoreConflict(e *Event) {
	n := r.nodes[e.Node]
	if n == nil {
		return
	}
	e.notAfter(r.rules.Started.Add(-1), &r.rules)
	n.conflict = e.Since
	r.conflicts[n.name] = n
}

// published records that a registration of a node arrived over a connection of this process.
func (r *registry) published(name string, connection uint64, now time.Time) {
	cs := r.connections[name]
	if cs == nil {
		return
	}
	i := slices.IndexFunc(cs.open, func(c openConnection) bool { return c.id.id == connection })
	if i < 0 {
		return
	}
	cs.open[i].registered = now
	if n := r.nodes[name]; n != nil {
		r.updateState(n, now)
	}
}

// NotePublisher records that an adapter accepted a message of a node, and over which connection it came.
// It returns at once unless some node has several connections as Choria's servers open them.
func (f *Fleet) NotePublisher(node string, connection uint64) {
	if f.shared.Load() > 0 {
		f.withRegistry(func(r *registry, now time.Time) { r.published(node, connection, now) })
	}
}
