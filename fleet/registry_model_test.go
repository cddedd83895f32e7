package fleet

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var modelRounds = flag.Int("model-rounds", 300, "how many random histories are compared with the model")

// modelNode computes the state of a node a second time, straight from the rules in
// docs/fleet.md and independently of Signals.
type modelNode struct {
	received, ended, shutdown time.Time
	started                   time.Time // of the process
	open                      map[uint64]bool
	restored                  string
}

func (m *modelNode) state(now time.Time) string {
	if m.received.IsZero() && m.restored == "" {
		if len(m.open) > 0 {
			return "connected"
		}
		return "forgotten"
	}
	silent, watching := now.Sub(m.received), now.Sub(m.started)
	wasUp := m.restored == "up" || m.restored == "late"
	elsewhere := m.received.Sub(m.ended) > 20*time.Second
	if len(m.open) == 0 && !m.ended.IsZero() && !elsewhere && now.Sub(m.ended) >= 20*time.Second {
		last := m.ended
		if m.received.Sub(last) > 0 {
			last = m.received
		}
		if now.Sub(last) >= time.Hour {
			return "forgotten"
		}
		if d := m.shutdown.Sub(m.ended); !m.shutdown.IsZero() && d <= 20*time.Second && d >= -20*time.Second {
			return "stopped"
		}
		return "down"
	}
	if len(m.open) == 0 && (m.ended.IsZero() || elsewhere) && silent >= 11*time.Minute &&
		(!wasUp || watching >= 11*time.Minute) {
		if silent >= time.Hour {
			return "forgotten"
		}
		return "down"
	}
	if silent >= 6*time.Minute && (m.restored == "late" || m.restored != "up" || watching >= 6*time.Minute) {
		return "late"
	}
	return "up"
}

// model runs a random history in a registry and in the model of each node, with what the
// streams would have of it.
type model struct {
	t        *testing.T
	random   *rand.Rand
	now      time.Time     // by a clock that is never set
	stepped  time.Duration // sum of the steps of the clock that the registry sees
	steps    bool          // the clock is set from time to time, and the process does not restart
	registry *testRegistry
	nodes    map[string]*modelNode
	stored   []*Event          // what the stream of events has
	last     map[string]update // the last registration of each node in its stream
	lastConn uint64
	server   string
}

// clock returns the time that the registry sees.
func (m *model) clock() time.Time { return m.now.Add(m.stepped) }

// setClock sets the clock. No state changes.
func (m *model) setClock() {
	by := time.Duration(m.random.IntN(6*3600)-3*3600) * time.Second
	m.stepped += by
	m.registry.moveTimes(clockStep{by: by, before: m.clock().Add(-by)})
}

// step lets one random thing happen to a node, or restarts the process.
func (m *model) step(name string) {
	n := m.nodes[name]
	m.now = m.now.Add(1 + time.Duration(m.random.IntN(1000))) // no two things happen at the same time
	switch op := m.random.IntN(13); {
	case op < 4:
		m.now = m.now.Add(time.Duration(m.random.IntN(400)) * time.Second)
	case op < 7:
		u := update{name: name, site: "ams", received: m.clock()}
		m.last[name] = u
		n = m.node(name)
		n.received = m.now
		m.registry.registered(u, m.clock())
	case op == 7 && n != nil && !n.received.IsZero(): // the last registration is read again
		m.registry.registered(m.last[name], m.clock())
	case op == 8:
		n = m.node(name)
		m.lastConn++
		n.open[m.lastConn] = true
		m.registry.connect(name, connID{m.server, m.lastConn}, m.clock())
	case op == 9 && n != nil:
		m.disconnect(name, n)
	case op == 10 && n != nil:
		n.shutdown = m.now
		m.registry.shutdownEvent(name, m.clock(), m.clock())
	case op == 11 && !m.steps && m.random.IntN(8) == 0:
		m.restart()
	case op == 12 && m.steps:
		m.setClock()
	}
}

// node returns the node of that name, which is added if it is new.
func (m *model) node(name string) *modelNode {
	if m.nodes[name] == nil {
		m.nodes[name] = &modelNode{started: m.registry.rules.Started, open: map[uint64]bool{}}
	}
	return m.nodes[name]
}

// disconnect ends one of the node's connections, if it has any.
func (m *model) disconnect(name string, n *modelNode) {
	for id := range n.open {
		delete(n.open, id)
		if len(n.open) == 0 {
			n.ended = m.now
		}
		m.registry.disconnected(name, connID{m.server, id}, m.clock(), "Client Closed", m.clock())
		break
	}
}

// restart rebuilds the registry from what the streams have. Up to two of the last events may
// not have been stored.
func (m *model) restart() {
	m.storeEvents()
	lost := 0
	if len(m.stored) > 0 {
		lost = m.random.IntN(min(3, len(m.stored)) + 1)
	}
	m.stored = m.stored[:len(m.stored)-lost]
	m.server = fmt.Sprintf("S%d", m.random.IntN(1_000_000))
	m.registry = newTestRegistry(testRules(m.now))
	last := map[string]*Event{}
	for _, e := range m.stored {
		if e.Node != "" {
			m.registry.restore(e)
			last[e.Node] = e
		}
	}
	for name, e := range last {
		if m.nodes[name] == nil && e.To != Forgotten { // its forgotten event was not stored
			m.nodes[name] = &modelNode{}
		}
	}
	for name, n := range m.nodes {
		*n = modelNode{started: m.now, open: map[uint64]bool{}}
		if e := last[name]; e != nil && e.To != Forgotten {
			n.received, n.restored = e.Received, string(e.To)
			if e.To == Down || e.To == Stopped {
				n.ended, n.shutdown = e.Ended, e.ShutdownAt
			}
		}
		if u := m.last[name]; u.received.After(n.received) {
			n.received = u.received
		}
		if u, registered := m.last[name]; registered {
			m.registry.registered(u, m.now)
		}
	}
}

// storeEvents moves the emitted events to the stream.
func (m *model) storeEvents() {
	m.stored = append(m.stored, m.registry.events...)
	m.registry.events = nil
}

// compare ticks, and checks that the registry has the nodes, states and counts of the model.
func (m *model) compare(step int) {
	m.registry.tick(m.clock())
	sum := 0
	for name, modeled := range m.nodes {
		want := modeled.state(m.now)
		n := m.registry.nodes[name]
		switch {
		case want == "forgotten" && n == nil:
			delete(m.nodes, name)
			continue
		case n == nil || string(n.announced) != want:
			m.t.Fatalf("step %d: %s is %+v, want %s: %+v", step, name, n, want, modeled)
		}
		sum++
	}
	total := 0
	for _, n := range m.registry.counts {
		total += n
	}
	if total != sum || len(m.registry.nodes) != sum {
		m.t.Fatalf("step %d: %d nodes, counts %v, want %d", step, len(m.registry.nodes), m.registry.counts, sum)
	}
	if nodes := m.registry.site("ams").nodes; nodes != sum {
		m.t.Fatalf("step %d: the site has %d nodes, want %d", step, nodes, sum)
	}
}

func TestRegistry_MatchesModel(t *testing.T) {
	for round := range *modelRounds {
		m := &model{
			t: t, random: rand.New(rand.NewPCG(uint64(round), 6)), now: time.Unix(1_000_000, 0).UTC(),
			nodes: map[string]*modelNode{}, last: map[string]update{}, server: "S0",
			steps: round%2 == 1,
		}
		m.registry = newTestRegistry(testRules(m.now))
		for step := range 400 {
			m.step(fmt.Sprintf("node%d", m.random.IntN(5)))
			m.compare(step)
		}
		m.storeEvents()
		m.checkStoredEvents()
	}
}

// checkStoredEvents checks that each event of a node begins with the state that its event
// before ended with, and that no ID is there twice.
func (m *model) checkStoredEvents() {
	state := map[string]State{}
	ids := map[string]bool{}
	for _, e := range m.stored {
		if e.Node == "" {
			continue
		}
		if ids[e.ID()] {
			m.t.Errorf("%s is stored twice", e.ID())
		}
		ids[e.ID()] = true
		before := state[e.Node]
		if before == Forgotten {
			before = ""
		}
		if e.From != before || e.From == e.To {
			m.t.Errorf("%s goes from %s to %s, but was %q", e.Node, e.From, e.To, before)
		}
		state[e.Node] = e.To
	}
}
