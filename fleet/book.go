package fleet

import (
	"time"

	"github.com/tidwall/btree"
)

// book is the view: every node, what it is, and what follows from what happens to it. It
// is values in, events out; the feeds fill it, under the fleet's mutex.
type book struct {
	rules  Rules
	nodes  map[string]*node
	byName *btree.BTreeG[*node] // the same
	links  map[string]*link     // by the name of who is connected, node or not
	sites  map[string]*site
	counts map[State]int
	times  schedule
	last   time.Time // of the latest tick
	emit   func(*Event)

	stormShare int64 // per cent
}

func newBook(rules Rules, stormShare int64, emit func(*Event)) *book {
	return &book{
		rules: rules, stormShare: stormShare, emit: emit,
		nodes: map[string]*node{}, byName: orderByName(), links: map[string]*link{}, sites: map[string]*site{}, counts: map[State]int{},
	}
}

// orderByName keeps nodes for pages. It needs no lock of its own: the fleet has one.
func orderByName() *btree.BTreeG[*node] {
	return btree.NewBTreeGOptions(func(a, b *node) bool { return a.name < b.name }, btree.Options{NoLocks: true})
}

// arrival is one registration.
type arrival struct {
	name, site string
	received   time.Time
	topic      word
	inside     *inside // nil: as before
}

// registered notes a registration, also an old one that is read again.
func (b *book) registered(a arrival, now time.Time) {
	n := b.nodes[a.name]
	if n == nil {
		n = b.add(&node{name: a.name, link: b.links[a.name]})
		n.adopt()
	}
	n.topic = a.topic
	if a.inside != nil && !a.received.Before(n.Received) { // also what was restored without it
		n.inside = a.inside
	}
	if !a.received.After(n.Received) {
		return
	}
	if !n.Received.IsZero() {
		n.learn(a.received.Sub(n.Received))
	}
	n.Received = a.received
	if n.site != a.site && n.state != "" { // it has moved
		b.site(n.site).nodes--
		b.site(a.site).nodes++
	}
	n.site = a.site
	b.judge(n, now)
}

func (b *book) add(n *node) *node {
	b.nodes[n.name] = n
	b.byName.Set(n)
	b.times.add(n)
	return n
}

func (b *book) drop(n *node) {
	delete(b.nodes, n.name)
	b.byName.Delete(n)
	b.times.remove(n)
}

func (b *book) connected(name string, id connID, since time.Time, address string, verified bool, now time.Time) {
	l := b.links[name]
	if l == nil {
		l = new(link)
		b.links[name] = l
	}
	l.begin(id, since, address, verified)
	b.relink(name, l, now)
}

func (b *book) disconnected(name string, id connID, at time.Time, reason string, now time.Time) {
	l := b.links[name]
	if l == nil {
		return
	}
	l.end(id, at, reason)
	if len(l.live) == 0 {
		delete(b.links, name) // where it belongs to a node, that keeps it
	}
	b.relink(name, l, now)
}

func (b *book) relink(name string, l *link, now time.Time) {
	n := b.nodes[name]
	if n == nil {
		return
	}
	if n.link != nil && n.link != l && len(l.live) > 0 {
		l.ended, l.reason = n.link.ended, n.link.reason
	}
	n.link = l
	n.adopt()
	b.judge(n, now)
}

// goodbye notes that a node says that it stops.
func (b *book) goodbye(name string, at, now time.Time) {
	if n := b.nodes[name]; n != nil {
		n.ShutdownAt = at
		b.judge(n, now)
	}
}

// tick lets time pass. Where the clock was set back, every state may have changed.
func (b *book) tick(now time.Time) {
	back := now.Before(b.last)
	b.last = now
	for _, n := range b.times.at(now, back) {
		b.judge(n, now)
	}
	b.weather(now)
}

// rule puts other rules in force, by which every node is judged anew.
func (b *book) rule(rules Rules, stormShare int64, now time.Time) {
	b.rules, b.stormShare = rules, stormShare
	for _, n := range b.times.at(now, true) {
		b.judge(n, now)
	}
}

// judge finds out what a node is now, and tells of it where that is new.
func (b *book) judge(n *node, now time.Time) {
	state := n.State(now, &b.rules)
	b.times.set(n, n.due(now, &b.rules))
	if state == n.state {
		return
	}
	if n.state == "" && state == Forgotten { // old news, read again
		b.drop(n)
		return
	}
	e := n.event(state, &b.rules)
	if state == Down && n.state != "" {
		b.site(n.site).went(now)
	}
	b.become(n, state, e.Since)
	b.emit(e)
}

// become counts the node under another state.
func (b *book) become(n *node, state State, since time.Time) {
	if n.state != "" {
		b.counts[n.state]--
		b.site(n.site).nodes--
	}
	n.state, n.since = state, since
	if state == Forgotten {
		b.drop(n)
		return
	}
	b.counts[state]++
	b.site(n.site).nodes++
}

// restore takes an event that was stored before this process began; the last of a node
// tells what it was.
func (b *book) restore(e *Event) {
	n := b.nodes[e.Node]
	if n == nil {
		if e.To == Forgotten {
			return
		}
		n = b.add(&node{name: e.Node, site: e.Site})
	}
	n.Signals = Signals{Received: e.Received, Restored: e.To}
	if e.To == Down || e.To == Stopped { // otherwise it was there again, or its grace was not over
		n.Ended, n.ShutdownAt = e.Ended, e.ShutdownAt
	}
	b.times.set(n, b.rules.Started) // the first tick looks at it
	b.become(n, e.To, e.Since)
}
