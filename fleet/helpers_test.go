package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fixture is a broker with the streams that a fleet reads and writes, and a clock that tests
// can set ahead.
type fixture struct {
	tb      testing.TB
	broker  *broker.Broker
	js      jetstream.JetStream
	system  *nats.Conn
	ahead   atomic.Int64 // nanoseconds; no step: so much time has passed
	stepped atomic.Int64 // nanoseconds; sum of the steps of the clock
	lab     bool         // the fleet takes the broker for a lab, which it is

	conflictAfter time.Duration // Options.ConflictAfter

	edges atomic.Pointer[map[string]string] // Options.SiteEdges; nil: no site may forward

	shutdowns atomic.Pointer[inproc.Conn] // receives shutdown events
}

func newFixture(tb testing.TB) *fixture {
	tb.Helper()
	cfg := broker.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	s := &fixture{tb: tb}
	s.broker = broker.New(cfg, broker.DefaultJetStream(), broker.Options{
		Name: "b", StoreDir: tb.TempDir(), Now: time.Now, Log: hclog.NewNullLogger(),
		Verifier: choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{})),
		Intakes:  []broker.Intake{{Name: "fleet", Subjects: []string{contract.SubjectShutdown}}},
	})
	tb.Cleanup(func() { _ = s.broker.Close(context.Background()) })
	if err := s.broker.Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	nc, err := s.broker.Connect("test")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	if s.system, err = s.broker.ConnectSystem("test"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.system.Close)
	if s.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1000)); err != nil {
		tb.Fatal(err)
	}
	s.createStream(contract.StreamRegistration, contract.SubjectNodeMetadata+">",
		contract.SiteSubject("*", contract.SubjectNodeMetadata+">"))
	s.createStream(contract.StreamFleet, contract.SubjectFleet+">", subjectsForwarded)
	s.createStream(contract.StreamAdvisories, contract.SubjectAdvisories)
	return s
}

func (s *fixture) createStream(name string, subjects ...string) {
	s.tb.Helper()
	cfg := jetstream.StreamConfig{Name: name, Subjects: subjects, AllowDirect: true}
	if _, err := s.js.CreateStream(s.tb.Context(), cfg); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *fixture) now() time.Time {
	return time.Now().Add(time.Duration(s.ahead.Load() + s.stepped.Load()))
}

// readClock is Options.Clock.
func (s *fixture) readClock() (now time.Time, stepped time.Duration) {
	stepped = time.Duration(s.stepped.Load())
	return time.Now().Round(0).Add(time.Duration(s.ahead.Load()) + stepped), stepped
}

func (s *fixture) newFleet(cfg Config) *Fleet {
	return New(cfg, Options{
		Site: "ams", StoreEvents: true, Now: s.now, Clock: s.readClock, Log: hclog.NewNullLogger(),
		Connect: s.broker.Connect, ConnectSystem: s.broker.ConnectSystem, Connections: s.listConnections,
		Identities: !s.lab, DialShutdowns: s.dialShutdowns, ConflictAfter: s.conflictAfter,
		KindOf:       func(id uint64) Kind { return kindOf(s.broker.RoleOf(id)) },
		LastRejected: func(string) (Rejection, bool) { return Rejection{}, false },
		SiteEdges:    s.siteEdges,
	})
}

func (s *fixture) siteEdges() map[string]string {
	if edges := s.edges.Load(); edges != nil {
		return *edges
	}
	return nil
}

func (s *fixture) dialShutdowns(receiver inproc.Receiver) (*inproc.Conn, error) {
	c, err := s.broker.DialIntake("fleet", "fleet", []string{contract.SubjectShutdown}, receiver)
	s.shutdowns.Store(c)
	return c, err
}

// open opens a fleet that is closed when the test ends.
func (s *fixture) open(cfg Config) *Fleet {
	s.tb.Helper()
	f := s.newFleet(cfg)
	if err := f.Open(s.tb.Context()); err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { _ = f.Close(context.Background()) })
	return f
}

// awaitIntervals waits until the fleet has learned the intervals of its nodes.
func (f *Fleet) awaitIntervals(tb testing.TB) {
	tb.Helper()
	wait.Eventually(tb, func() (err error) {
		f.withRegistry(func(r *registry, _ time.Time) {
			if r.learning {
				err = errors.New("the fleet is learning")
			}
		})
		return err
	})
}

func kindOf(role broker.Role) Kind {
	if role == broker.RoleNode {
		return KindNode
	}
	return KindOther
}

func (s *fixture) listConnections() ([]Conn, error) {
	listed, err := s.broker.ListConnections()
	connections := make([]Conn, len(listed))
	for i, c := range listed {
		connections[i] = Conn{
			Server: c.Server, ID: c.ID, User: c.User, Name: c.Name, Address: c.Address, Kind: kindOf(c.Role),
			Began: c.Began, Ended: c.Ended, Reason: c.Reason,
		}
	}
	return connections, err
}

// killFleet ends a fleet as a kill of the process would: messages that were sent may still arrive,
// no others are sent.
func (s *fixture) killFleet(f *Fleet) {
	f.conn.Close()
	f.system.Close()
	f.cancel()
	close(f.outbox.quit)
	f.closeOnce.Do(f.wg.Wait)
}

// nodeName returns the name of node n.
func nodeName(n int) string { return fmt.Sprintf("node%05d.example.net", n) }

// idOf returns what identifies node n.
func idOf(n int) NodeID { return NodeID{Name: nodeName(n)} }

// adapterHeader returns the headers that an adapter adds to a registration of node n.
func (s *fixture) adapterHeader(n int) nats.Header {
	return nats.Header{
		contract.HeaderSender:   {nodeName(n)},
		contract.HeaderReceived: {s.now().UTC().Format(time.RFC3339Nano)},
		contract.HeaderSite:     {"ams"},
	}
}

// register stores a registration of each of the nodes 0 to nodes-1, as an adapter would. body
// returns the stored data of node n; nil: none.
func (s *fixture) register(nodes int, body func(n int) []byte) {
	s.tb.Helper()
	for n := range nodes {
		m := &nats.Msg{Subject: contract.SubjectNodeMetadata + nodeName(n), Header: s.adapterHeader(n)}
		if body != nil {
			m.Data = body(n)
		}
		if _, err := s.js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			s.tb.Fatal(err)
		}
	}
	<-s.js.PublishAsyncComplete()
}

// registerNode0 stores registrations of node 0 with the given bodies, one after the other, and
// waits until the fleet can read them.
func (s *fixture) registerNode0(f *Fleet, bodies ...[]byte) {
	s.tb.Helper()
	for i, body := range bodies {
		s.register(1, func(n int) []byte { return output(n, fmt.Sprint(i), body) })
	}
	wait.Eventually(s.tb, func() error {
		if d, _, err := f.Detail(s.tb.Context(), idOf(0)); len(d.Registrations) != len(bodies) {
			return fmt.Errorf("%d registrations, %w", len(d.Registrations), err)
		}
		return nil
	})
}

// output returns what an adapter stores of a registration of node n.
func output(n int, id string, body []byte) []byte {
	m := choria.Message{Sender: nodeName(n), ID: id, Time: time.Unix(1, 0), Body: body}
	return m.AppendOutput(nil)
}

// inventoryBody returns the body of a registration with that inventory.
func inventoryBody(tb testing.TB, inventory string) []byte {
	tb.Helper()
	body, err := choria.InventoryBody([]byte(inventory), true)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

// fileBody returns the body of a registration with a file of that text.
func fileBody(tb testing.TB, path, text string) []byte {
	tb.Helper()
	body, err := choria.FileBody(path, time.Unix(1, 0), false, []byte(text), true)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

// publishConnection publishes what the broker would publish about a connection of node n; kind
// is CONNECT or DISCONNECT.
func (s *fixture) publishConnection(kind string, n int) {
	s.tb.Helper()
	var e connectionEvent
	e.Server.ID = "S"
	e.Client.ID, e.Client.Host, e.Client.User = uint64(n+1), "10.0.0.1", nodeName(n)
	e.Client.Start, e.Client.Stop, e.Reason = s.now(), s.now(), "Client Closed"
	data, err := json.Marshal(e)
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := s.system.Publish("$SYS.ACCOUNT.choria."+kind, data); err != nil {
		s.tb.Fatal(err)
	}
}

// messages returns how many messages a stream has.
func (s *fixture) messages(stream string) int {
	s.tb.Helper()
	found, err := s.js.Stream(s.tb.Context(), stream)
	if err != nil {
		s.tb.Fatal(err)
	}
	return int(found.CachedInfo().State.Msgs)
}

// eventSubjects returns how many messages the stream of events has on each subject.
func (s *fixture) eventSubjects() map[string]uint64 {
	s.tb.Helper()
	found, err := s.js.Stream(s.tb.Context(), contract.StreamFleet)
	if err != nil {
		s.tb.Fatal(err)
	}
	info, err := found.Info(s.tb.Context(), jetstream.WithSubjectFilter(contract.SubjectFleet+">"))
	if err != nil {
		s.tb.Fatal(err)
	}
	return info.State.Subjects
}

// testRules returns short limits for a process that started at the given time.
func testRules(started time.Time) Rules {
	return Rules{
		Late: 6 * time.Minute, Down: 11 * time.Minute, Forget: time.Hour, Grace: 20 * time.Second, Started: started,
	}
}

// testRegistry is a registry with the events that it emitted.
type testRegistry struct {
	*registry
	events []*Event
}

func newTestRegistry(rules Rules) *testRegistry {
	r := &testRegistry{}
	r.registry = newRegistry(rules, "ams", 20, func(e *Event) { r.events = append(r.events, e) })
	return r
}

// kinds returns the kinds of the emitted events.
func (r *testRegistry) kinds() (kinds []string) {
	for _, e := range r.events {
		kinds = append(kinds, e.Event)
	}
	return kinds
}

// count returns how many events of a kind were emitted.
func (r *testRegistry) count(kind string) (n int) {
	for _, e := range r.events {
		if e.Event == kind {
			n++
		}
	}
	return n
}

// connect records a verified connection of a node that begins now.
func (r *testRegistry) connect(name string, id connID, now time.Time) {
	r.connected(name, startedConnection{id: id, since: now, address: "10.0.0.1", verified: true, node: true}, now)
}

// newIndexedFleet returns a fleet that is not opened, with registered nodes. Every tenth node is
// a database server, and each node has its own serial number.
func newIndexedFleet(tb testing.TB, nodes int) *Fleet {
	tb.Helper()
	cfg := DefaultConfig()
	cfg.Index = []string{"os.name", "cores", "serial"}
	now := time.Unix(1_000_000, 0)
	f := New(cfg, Options{
		Site: "ams", Now: func() time.Time { return now },
		LastRejected: func(string) (Rejection, bool) { return Rejection{}, false },
		Clock:        func() (time.Time, time.Duration) { return now.Add(time.Minute), 0 },
	})
	f.registry = newRegistry(cfg.Rules(now.Add(time.Minute)), "ams", cfg.StormShare, func(*Event) {})
	for n := range nodes {
		f.registerIndexed(n, now.Add(time.Duration(n)*time.Millisecond))
	}
	return f
}

// registerIndexed records a registration of node n with its facts, classes and collectives. Every tenth
// node registers no collectives.
func (f *Fleet) registerIndexed(n int, received time.Time) {
	class, facts := []string{"role::web"}, `{"os":{"name":"Debian"},"cores":8,"serial":"S%d"}`
	collectives := []string{"mcollective"}
	switch n % 10 {
	case 1:
		collectives = nil
	case 0:
		collectives = []string{"mcollective", "db"}
		class, facts = []string{"role::db", "Backup"}, `{"os":{"name":"Fedora"},"cores":32,"serial":"S%d"}`
	}
	inventory := choria.Inventory{Classes: class, Collectives: collectives, Facts: fmt.Appendf(nil, facts, n)}
	f.withRegistry(func(r *registry, now time.Time) {
		facts := f.index.indexInventory(&inventory)
		r.registered(update{name: nodeName(n), site: "ams", received: received, facts: facts}, now)
	})
}

// parseWhere parses conditions on facts, such as os.name=Debian.
func parseWhere(tb testing.TB, conditions ...string) (filters []choria.FactFilter) {
	tb.Helper()
	for _, text := range conditions {
		f, err := choria.ParseFactFilter(text)
		if err != nil {
			tb.Fatal(err)
		}
		filters = append(filters, f)
	}
	return filters
}
