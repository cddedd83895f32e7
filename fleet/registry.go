package fleet

import (
	"time"

	"github.com/tidwall/btree"
)

// registry has every node and site of the view, and updates states when a signal arrives or time passes.
// Values go in and events come out: it does not read streams and has no clock. It is not safe
// for concurrent use; Fleet locks it.
type registry struct {
	rules       Rules
	home        string                  // site of this appliance, and of nodes that have not registered
	stormShare  int64                   // percent
	nodes       map[string]*node        // of this appliance, by name
	byName      *btree.BTreeG[*node]    // these, and those of other sites, for pages
	connections map[string]*connections // by the name of the connected node or client
	sites       map[string]*site
	counts      map[State]int // nodes of this appliance by state, and those in provisioning
	schedule    schedule
	lastTick    time.Time
	learning    bool             // restored nodes keep their states until learnGaps is called
	step        clockStep        // the last
	conflicts   map[string]*node // nodes in conflict
	shared      int              // names of which several connections may be in conflict
	ended       map[connID]bool  // connections that ended since a listing began; nil: there is none
	emit        func(*Event)     // must not call the registry

	remotes   map[string]*remoteSite   // sites that forward here
	listed    map[string]string        // the names of their edges
	edges     map[string][]*remoteSite // the same sites, by the name of their edge
	snapshots uint64                   // of all sites that began since the start
	purged    time.Time                // when hidden nodes were last removed

	provisioning       provisioning
	listedProvisioning int // of these, that have an entry

	eventsCreated time.Time // when the stream was created whose events of sites were read
}

func newRegistry(rules Rules, home string, stormShare int64, emit func(*Event)) *registry {
	return &registry{
		rules: rules, home: home, stormShare: stormShare, emit: emit,
		nodes: map[string]*node{}, byName: newNameTree(), connections: map[string]*connections{},
		sites: map[string]*site{}, counts: map[State]int{}, conflicts: map[string]*node{},
		remotes: map[string]*remoteSite{}, edges: map[string][]*remoteSite{}, provisioning: provisioning{},
	}
}

// newNameTree returns an empty tree of nodes in the order of their names; of the same name, that of this
// appliance first, the others in the order of sites. It has no lock: the fleet's mutex guards it.
func newNameTree() *btree.BTreeG[*node] {
	byName := func(a, b *node) bool { return a.name < b.name || a.name == b.name && a.key() < b.key() }
	return btree.NewBTreeGOptions(byName, btree.Options{NoLocks: true})
}

// update is what one registration reports about its node.
type update struct {
	name, site string
	forwarded  bool          // the edge of the site forwarded it
	received   time.Time     // as stored
	subject    interned      // see subjectTemplate
	facts      *indexedFacts // nil: the registration has none, or they were not read
	factsRead  bool          // see Fleet.readsFacts
	replayed   bool          // older ones may not have been read, so it says nothing about the interval
}

// registered records a registration. One that was read before, or is older, changes no state.
func (r *registry) registered(u update, now time.Time) {
	if u.forwarded {
		r.registeredForwarded(u, now)
		return
	}
	n := r.nodes[u.name]
	if n == nil {
		n = r.add(&node{name: u.name, connections: r.connections[u.name]})
		n.copyConnection()
	}
	isNew := n.isNew(u, now)
	n.noteRegistration(u, isNew, now)
	received := r.adjust(u.received, now)
	if !isNew || !received.After(n.Received) {
		return
	}
	if !n.Received.IsZero() && !u.replayed {
		n.gaps.add(received.Sub(n.Received))
	}
	n.Received = received
	if n.site != u.site && n.announced != "" { // the node moved to another site
		r.count(n, -1)
		n.site = u.site
		r.count(n, 1)
	}
	n.site = u.site
	r.updateState(n, now)
}

func (r *registry) add(n *node) *node {
	r.nodes[n.name] = n
	r.byName.Set(n)
	r.schedule.add(n)
	return n
}

func (r *registry) remove(n *node) {
	delete(r.nodes, n.name)
	delete(r.conflicts, n.name)
	r.byName.Delete(n)
	r.schedule.remove(n)
}

// connected records that a connection of the named node or client began. A node enters the view with it.
func (r *registry) connected(name string, c startedConnection, now time.Time) {
	cs := r.connections[name]
	if cs == nil {
		cs = new(connections)
		r.connections[name] = cs
	}
	c.since = r.adjust(c.since, now)
	r.shared -= cs.shared()
	cs.begin(c)
	r.shared += cs.shared()
	if c.node && r.nodes[name] == nil {
		r.add(&node{name: name, site: r.home})
	}
	r.connectionsChanged(name, cs, now)
}

// disconnected records that a connection ended. The end of an unknown connection is ignored.
func (r *registry) disconnected(name string, id connID, at time.Time, reason string, now time.Time) {
	if r.ended != nil {
		r.ended[id] = true
	}
	cs := r.connections[name]
	if r.provisioningEnded(id) || cs == nil {
		return
	}
	r.shared -= cs.shared()
	cs.end(id, r.adjust(at, now), reason)
	r.shared += cs.shared()
	if len(cs.open) == 0 {
		delete(r.connections, name) // n.connections of the node, if it registered, keeps cs
	}
	r.connectionsChanged(name, cs, now)
}

func (r *registry) connectionsChanged(name string, cs *connections, now time.Time) {
	r.edgeConnectionsChanged(name, cs, now)
	n := r.nodes[name]
	if n == nil {
		return
	}
	if n.connections != nil && n.connections != cs && len(cs.open) > 0 {
		// The name had disconnected completely, so cs is new: keep the last end and its reason.
		cs.ended, cs.reason = n.connections.ended, n.connections.reason
	}
	n.connections = cs
	n.copyConnection()
	r.updateState(n, now)
}

// shutdownEvent records that a node announced its shutdown.
func (r *registry) shutdownEvent(name string, at, now time.Time) {
	if n := r.nodes[name]; n != nil {
		n.ShutdownAt = at
		r.updateState(n, now)
	}
}

// tick updates the states that change because time passed. After the clock was set back by less than
// what counts as a step, any state may have changed.
func (r *registry) tick(now time.Time) {
	due := r.schedule.due(now)
	if now.Before(r.lastTick) {
		due = r.schedule.all()
	}
	r.lastTick = now
	for _, n := range due {
		r.updateState(n, now)
	}
	r.updateStorms(now)
	r.tickSites(now)
}

// setRules applies other limits and updates every state.
func (r *registry) setRules(rules Rules, stormShare int64, now time.Time) {
	r.rules, r.stormShare = rules, stormShare
	for _, n := range r.schedule.all() {
		r.updateState(n, now)
	}
}

// updateState updates the state of a node, and whether it is in conflict. It emits an event for what
// changed.
func (r *registry) updateState(n *node, now time.Time) {
	r.changeState(n, now)
	r.updateConflict(n, now)
}

// changeState computes the state of a node and emits an event if it changed. A node that connects and
// never registers causes no event, however often it does.
func (r *registry) changeState(n *node, now time.Time) {
	state := n.State(now, &r.rules)
	r.schedule.set(n, n.nextChange(now, &r.rules))
	if state == n.announced || r.learning && n.Restored != "" {
		return
	}
	if n.announced == "" && state == Forgotten { // an old registration of a node that was forgotten
		r.remove(n)
		return
	}
	if !n.hasRegistered() {
		r.setState(n, state, n.sinceOf(state, &r.rules))
		return
	}
	e := n.event(state, &r.rules)
	if state == Down && !n.isNewcomer() {
		r.site(n.site).countDown(now)
	}
	r.setState(n, state, e.Since)
	r.emit(e)
}

// setState changes the state of a node and the counts; a forgotten node is removed.
func (r *registry) setState(n *node, state State, since time.Time) {
	if n.announced != "" {
		r.count(n, -1)
	}
	n.announced, n.since = state, since
	if state == Forgotten {
		r.remove(n)
		return
	}
	r.count(n, 1)
}

// count adds to the counts of the node's state and site; by is 1 or -1.
func (r *registry) count(n *node, by int) {
	r.counts[n.announced] += by
	s := r.site(n.site)
	s.nodes += by
	if !n.isNewcomer() {
		s.registered += by
	}
}

// restore applies an event that a previous process stored. The last event of a node has the
// state that the node had then. The times of the event may change, see notAfter.
func (r *registry) restore(e *Event) {
	n := r.nodes[e.Node]
	if n == nil {
		if e.To == Forgotten {
			return
		}
		n = r.add(&node{name: e.Node, site: e.Site})
	}
	n.stored = e.Received
	e.notAfter(r.rules.Started, &r.rules)
	n.Signals = Signals{Received: e.Received, Restored: e.To, gaps: gapsOf(e.interval())}
	if e.To == Down || e.To == Stopped { // in other states the node was connected or within its grace
		n.Ended, n.ShutdownAt = e.Ended, e.ShutdownAt
	}
	r.schedule.set(n, r.rules.Started) // so that the first tick updates its state
	r.setState(n, e.To, e.Since)
}
