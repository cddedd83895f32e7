package fleet

import (
	"flag"
	"fmt"
	"math"
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
	auto                      bool // the limits follow from the gaps
	gaps                      modelGaps
}

// limits returns when the node is late, down and forgotten.
func (m *modelNode) limits() (late, down, forget time.Duration) {
	if !m.auto {
		return 6 * time.Minute, 11 * time.Minute, time.Hour
	}
	interval, known := m.gaps.known()
	late, down = max(2*interval+time.Minute, 6*time.Minute), max(3*interval+time.Minute, 11*time.Minute)
	if !known {
		late, down = max(late, 35*time.Minute), max(down, 70*time.Minute)
	}
	return late, down, 24 * time.Hour
}

func (m *modelNode) state(now time.Time) string {
	if m.received.IsZero() && m.restored == "" {
		if len(m.open) > 0 {
			return "connected"
		}
		return "forgotten"
	}
	late, down, forget := m.limits()
	silent, watching := now.Sub(m.received), now.Sub(m.started)
	wasUp := m.restored == "up" || m.restored == "late"
	elsewhere := m.received.Sub(m.ended) > 20*time.Second
	if len(m.open) == 0 && !m.ended.IsZero() && !elsewhere && now.Sub(m.ended) >= 20*time.Second {
		last := m.ended
		if m.received.Sub(last) > 0 {
			last = m.received
		}
		if now.Sub(last) >= forget {
			return "forgotten"
		}
		if d := m.shutdown.Sub(m.ended); !m.shutdown.IsZero() && d <= 20*time.Second && d >= -20*time.Second {
			return "stopped"
		}
		return "down"
	}
	if len(m.open) == 0 && (m.ended.IsZero() || elsewhere) && silent >= down &&
		(!wasUp || watching >= down) {
		if silent >= forget {
			return "forgotten"
		}
		return "down"
	}
	if silent >= late && (m.restored == "late" || m.restored != "up" || watching >= late) {
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
	stored   []*Event            // what the stream of events has
	last     map[string][]update // the last five registrations of each node in its stream
	auto     bool                // the limits follow from the intervals of the nodes
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
	case op == 4 && m.auto && m.random.IntN(20) == 0: // an outage
		m.now = m.now.Add(time.Duration(m.random.IntN(5*3600)) * time.Second)
	case op < 7:
		m.register(name)
	case op == 7 && n != nil && !n.received.IsZero(): // the last registration is read again
		m.registry.registered(m.lastOf(name), m.clock())
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
		m.nodes[name] = &modelNode{started: m.registry.rules.Started, open: map[uint64]bool{}, auto: m.auto}
	}
	return m.nodes[name]
}

// register lets a node register.
func (m *model) register(name string) {
	u := update{name: name, site: "ams", received: m.clock()}
	m.last[name] = append(m.last[name], u)
	m.last[name] = m.last[name][max(len(m.last[name])-5, 0):]
	n := m.node(name)
	if !n.received.IsZero() {
		n.gaps.add(m.now.Sub(n.received).Truncate(time.Millisecond))
	}
	n.received = m.now
	m.registry.registered(u, m.clock())
}

// lastOf returns the last registration of a node in the stream.
func (m *model) lastOf(name string) (u update) {
	if stored := m.last[name]; len(stored) > 0 {
		u = stored[len(stored)-1]
		u.replayed = true
	}
	return u
}

// rules returns the limits for a process that starts now.
func (m *model) rules() Rules {
	rules := testRules(m.now)
	if m.auto {
		rules.Late, rules.Down, rules.Forget = 0, 0, 24*time.Hour
	}
	return rules
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
	m.registry = newTestRegistry(m.rules())
	m.registry.learning = true
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
	found := map[string]*storedGaps{}
	for name, n := range m.nodes {
		m.restore(name, n, last[name])
		if u := m.lastOf(name); u.name != "" {
			m.registry.registered(u, m.now)
		}
		for _, u := range m.last[name] {
			addStored(found, u)
		}
	}
	m.registry.learnGaps(found, m.now)
}

// restore rebuilds a node of the model from its last event, which may be nil, and its registrations.
func (m *model) restore(name string, n *modelNode, e *Event) {
	*n = modelNode{started: m.now, open: map[uint64]bool{}, auto: m.auto}
	if e != nil && e.To != Forgotten {
		n.received, n.restored = e.Received, string(e.To)
		if e.To == Down || e.To == Stopped {
			n.ended, n.shutdown = e.Ended, e.ShutdownAt
		}
		n.gaps.interval = time.Duration(math.Round(e.Interval*1000)) * time.Millisecond
	}
	if u := m.lastOf(name); u.received.After(n.received) {
		n.received = u.received
	}
	var stored modelGaps
	for i, u := range m.last[name] {
		if i > 0 {
			stored.add(u.received.Sub(m.last[name][i-1].received).Truncate(time.Millisecond))
		}
	}
	if n.restored != "late" && n.restored != "down" {
		stored.interval = max(stored.interval, n.gaps.interval)
		n.gaps = stored
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
	site, connected := m.registry.site("ams"), m.registry.counts[Connected]
	if site.nodes != sum || site.registered != sum-connected {
		m.t.Fatalf("step %d: the site has %d nodes, %d registered; want %d and %d",
			step, site.nodes, site.registered, sum, sum-connected)
	}
}

func TestRegistry_MatchesModel(t *testing.T) {
	for round := range *modelRounds {
		m := &model{
			t: t, random: rand.New(rand.NewPCG(uint64(round), 6)), now: time.Unix(1_000_000, 0).UTC(),
			nodes: map[string]*modelNode{}, last: map[string][]update{}, server: "S0",
			steps: round%2 == 1, auto: round%4 > 1,
		}
		m.registry = newTestRegistry(m.rules())
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
