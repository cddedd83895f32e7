package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// testEdge is the edge of a site: it publishes what a forwarder would.
type testEdge struct {
	s           *fixture
	site        string
	incarnation string
	sequence    uint64           // of its stream of events
	states      map[string]State // of its nodes
}

// newHub returns a fixture whose fleet is that of a hub with these sites. The edge of a site has the name of the
// site and ".example.net".
func newHub(tb testing.TB, sites ...string) (s *fixture, edges []*testEdge) {
	s = newFixture(tb)
	names := map[string]string{}
	for _, site := range sites {
		names[site] = site + ".example.net"
		edges = append(edges, &testEdge{s: s, site: site, incarnation: "i1", states: map[string]State{}})
	}
	s.edges.Store(&names)
	return s, edges
}

// event returns the event that a node of the edge changed to a state.
func (e *testEdge) event(node string, to State, since time.Time) *Event {
	return &Event{
		Event: string(to), Node: node, From: e.states[node], To: to, Site: e.site, Since: since, Received: since,
		Reason: "test",
	}
}

// message returns an event of the edge as its forwarder publishes it.
func (e *testEdge) message(event *Event) *nats.Msg {
	e.s.tb.Helper()
	data, err := json.Marshal(event)
	if err != nil {
		e.s.tb.Fatal(err)
	}
	e.sequence++
	m := nats.NewMsg(contract.SiteSubject(e.site, event.Subject()))
	m.Data = data
	m.Header.Set(contract.HeaderMsgID, e.site+"/"+event.ID())
	m.Header.Set(contract.HeaderSource, newSource(e.incarnation, e.sequence).header(e.site, event.Since))
	m.Header.Set(contract.HeaderVia, e.site)
	return m
}

// store stores messages at the hub, in their order.
func (e *testEdge) store(messages ...*nats.Msg) {
	e.s.tb.Helper()
	for _, m := range messages {
		if _, err := e.s.js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			e.s.tb.Fatal(err)
		}
	}
	<-e.s.js.PublishAsyncComplete()
}

// change forwards that nodes changed to a state.
func (e *testEdge) change(to State, since time.Time, nodes ...string) {
	e.s.tb.Helper()
	var messages []*nats.Msg
	for _, node := range nodes {
		messages = append(messages, e.message(e.event(node, to, since)))
		if e.states[node] = to; to == Forgotten {
			delete(e.states, node)
		}
	}
	e.store(messages...)
}

// heartbeat returns the heartbeat of the edge.
func (e *testEdge) heartbeat() uplink.Heartbeat {
	hb := uplink.Heartbeat{
		Site: e.site, Version: "1", Incarnation: e.incarnation, Time: e.s.now(), Interval: 30, Nodes: map[string]int{},
		Streams: map[string]uplink.Stream{"A": {Unread: 2, Pending: 1, OldestSeconds: 4}, "B": {OldestSeconds: 5}},
	}
	for _, state := range e.states {
		hb.Nodes[string(state)]++
	}
	return hb
}

// request sends a request to the fleet and returns its answer.
func (s *fixture) request(subject string, v any) (a uplink.Answer) {
	s.tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		s.tb.Fatal(err)
	}
	m, err := s.js.Conn().Request(subject, data, 10*time.Second)
	if err == nil {
		err = json.Unmarshal(m.Data, &a)
	}
	if err != nil {
		s.tb.Fatal(err)
	}
	return a
}

// beat sends the heartbeat of the edge and returns whether the hub wants a snapshot.
func (e *testEdge) beat() bool {
	e.s.tb.Helper()
	a := e.s.request(contract.SiteSubject(e.site, contract.SubjectHeartbeat), e.heartbeat())
	if a.Error != "" {
		e.s.tb.Fatal(a.Error)
	}
	return a.Snapshot
}

// sendSnapshot sends a snapshot of all nodes of the edge in pages of some nodes.
func (e *testEdge) sendSnapshot(id string, size int) {
	e.s.tb.Helper()
	page := uplink.Page{Site: e.site, ID: id, Incarnation: e.incarnation, Sequence: e.sequence}
	left := len(e.states)
	send := func() {
		page.Last = left == 0
		a := e.s.request(contract.SiteSubject(e.site, contract.SubjectSnapshot), page)
		if a.Error != "" {
			e.s.tb.Fatal(a.Error)
		}
		page.Nodes = nil
		page.Number++
	}
	for node, state := range e.states {
		data, _ := json.Marshal(e.event(node, state, e.s.now()))
		page.Nodes = append(page.Nodes, data)
		if left--; len(page.Nodes) == size && left > 0 {
			send()
		}
	}
	send()
}

// connection publishes that a connection of the edge began or ended.
func (e *testEdge) connection(kind string) {
	e.s.tb.Helper()
	var event connectionEvent
	event.Server.ID = "S"
	event.Client.ID, event.Client.Host, event.Client.User = 1<<40, "10.9.0.1", e.site+".example.net"
	event.Client.Start, event.Client.Stop, event.Reason = e.s.now(), e.s.now(), "Stale Connection"
	data, _ := json.Marshal(event)
	if err := e.s.system.Publish("$SYS.ACCOUNT.edge."+kind, data); err != nil {
		e.s.tb.Fatal(err)
	}
}

// awaitNodes waits until the hub has the same nodes of the site as the edge.
func (e *testEdge) awaitNodes(f *Fleet) {
	e.s.tb.Helper()
	wait.Eventually(e.s.tb, func() error {
		page, err := f.Nodes(Query{Sites: []string{e.site}})
		if err != nil {
			return err
		}
		if len(page.Nodes) != len(e.states) {
			return fmt.Errorf("%d nodes, want %d", len(page.Nodes), len(e.states))
		}
		for _, n := range page.Nodes {
			if n.State != e.states[n.Name] {
				return fmt.Errorf("%s is %s, want %s", n.Name, n.State, e.states[n.Name])
			}
		}
		return nil
	})
}

// awaitSite waits until a site is in a state.
func (s *fixture) awaitSite(f *Fleet, site string, state SiteState) {
	s.tb.Helper()
	wait.Eventually(s.tb, func() error {
		if status, _ := f.Site(site); status.State != state {
			return fmt.Errorf("site %s is %s (%s), want %s", site, status.State, status.Reason, state)
		}
		return nil
	})
}

// awaitOutbox waits until all events are stored.
func (f *Fleet) awaitOutbox(tb testing.TB) {
	tb.Helper()
	wait.Eventually(tb, func() error {
		if _, _, waiting := f.outbox.counts(); waiting > 0 {
			return errors.New("events wait")
		}
		return nil
	})
}

// storedEvents returns the events after a sequence, and the last sequence.
func (s *fixture) storedEvents(f *Fleet, after uint64) (events []*Event, last uint64) {
	s.tb.Helper()
	for {
		page, err := f.Events(s.tb.Context(), EventQuery{After: after, Limit: 10_000})
		if err != nil {
			s.tb.Fatal(err)
		}
		if len(page.Events) == 0 {
			return events, page.Last
		}
		events, after = append(events, page.Events...), page.Last
	}
}

// names returns n names of nodes.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = nodeName(i)
	}
	return all
}

// Uplink lost and back: one event each way. Of its nodes, only those that changed have events: those of the edge.
func TestFleet_LostUplinkIsOneEventEachWay(t *testing.T) {
	const nodes, died = 5000, 20
	s, edges := newHub(t, "ams")
	f, ams := s.open(DefaultConfig()), edges[0]
	all := names(nodes)
	ams.connection("CONNECT")
	ams.change(Up, s.now(), all...)
	ams.beat()
	ams.awaitNodes(f)
	s.awaitSite(f, "ams", SiteUp)
	f.awaitOutbox(t)
	_, last := s.storedEvents(f, 0)

	for round, dead := range [][]string{nil, all[:died]} {
		ams.connection("DISCONNECT")
		s.ahead.Add(int64(21 * time.Second))
		s.awaitSite(f, "ams", SiteDown)
		s.ahead.Add(int64(30 * time.Minute))
		f.withRegistry(func(r *registry, now time.Time) { r.tick(now) })
		diedAt := s.now().Add(-10 * time.Minute).UTC()
		status, _ := f.Node(NodeID{"ams", all[nodes-1]})
		if status.State != Up || status.AsOf.IsZero() || s.now().Sub(status.AsOf) < 30*time.Minute {
			t.Fatalf("round %d: %+v", round, status)
		}
		ams.connection("CONNECT")
		ams.change(Down, diedAt, dead...)
		ams.beat()
		s.awaitSite(f, "ams", SiteUp)
		ams.awaitNodes(f)
		f.awaitOutbox(t)
		var events []*Event
		events, last = s.storedEvents(f, last)
		count := map[string]int{}
		for _, e := range events {
			count[e.Site+" "+e.Event+" "+e.Node]++
			if e.Node != "" && !e.Since.Equal(diedAt) {
				t.Errorf("since %s, want %s", e.Since, diedAt)
			}
		}
		want := 2 + len(dead)
		if len(events) != want || count["ams down "] != 1 || count["ams up "] != 1 {
			t.Errorf("round %d: %d events, want %d: %v", round, len(events), want, count)
		}
		for _, node := range dead {
			if count["ams down "+node] != 1 {
				t.Errorf("%d events of %s", count["ams down "+node], node)
			}
		}
	}
}

// The same name at two sites and at the hub is three nodes.
func TestFleet_SameNameAtTwoSitesIsTwoNodes(t *testing.T) {
	s, edges := newHub(t, "ams1", "fra")
	f := s.open(DefaultConfig())
	s.register(1, nil)
	edges[0].change(Down, s.now(), nodeName(0))
	edges[1].change(Late, s.now(), nodeName(0), nodeName(1))
	edges[0].awaitNodes(f)
	edges[1].awaitNodes(f)
	waitForNodes(t, f, 4)
	var found []string
	for _, n := range f.Named(nodeName(0)) {
		found = append(found, n.Site+" "+string(n.State))
	}
	if got := strings.Join(found, ", "); got != "ams up, ams1 down, fra late" {
		t.Errorf("nodes %s", got)
	}
	d, ok, err := f.Detail(t.Context(), NodeID{Site: "fra", Name: nodeName(0)})
	if !ok || err != nil || d.State != Late || strings.Join(d.AlsoAt, " ") != "ams ams1" {
		t.Errorf("%v %v %+v", ok, err, d)
	}
	for limit := 1; limit <= 4; limit++ {
		var ids []string
		for q := (Query{Limit: limit}); ; {
			page, err := f.Nodes(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range page.Nodes {
				ids = append(ids, n.Site)
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if got := strings.Join(ids, " "); got != "ams ams1 fra fra" {
			t.Errorf("pages of %d: %s", limit, got)
		}
	}
	page, err := f.Nodes(Query{After: nodeName(0)})
	if err != nil || len(page.Nodes) != 1 {
		t.Errorf("%d nodes follow the name, %v", len(page.Nodes), err)
	}
	if s := f.Summary(); s.Nodes != 4 || s.Sites["fra"] != 2 || s.States[Late] != 2 || s.Sites["ams"] != 1 {
		t.Errorf("summary %+v", s)
	}
}

// After a restart of the hub, its nodes and sites are what they were, without another event.
func TestFleet_RestoresForwardedNodesAndSites(t *testing.T) {
	s, edges := newHub(t, "ams1", "fra")
	f, ams, fra := s.open(DefaultConfig()), edges[0], edges[1]
	ams.change(Up, s.now(), names(50)...)
	fra.change(Up, s.now(), names(50)...)
	first := fra.message(fra.event(nodeName(49), Down, s.now()))
	fra.change(Down, s.now(), names(20)...)
	fra.change(Forgotten, s.now(), names(10)...)
	fra.store(first)
	first.Header.Del(contract.HeaderMsgID)
	fra.change(Late, s.now(), nodeName(49))
	fra.store(first) // a second time, after a later event of the node
	ams.beat()
	fra.beat()
	s.ahead.Add(int64(91 * time.Second))
	ams.beat()
	s.awaitSite(f, "fra", SiteDown)
	ams.awaitNodes(f)
	fra.awaitNodes(f)
	f.awaitOutbox(t)
	before, last := s.storedEvents(f, 0)
	asOf, _ := f.Site("fra")
	s.killFleet(f)

	f = s.open(DefaultConfig())
	ams.awaitNodes(f)
	fra.awaitNodes(f)
	status, _ := f.Site("fra")
	if status.State != SiteDown || !status.AsOf.Equal(asOf.AsOf) || status.Nodes[Down] != 10 {
		t.Errorf("%+v, want as of %s", status, asOf.AsOf)
	}
	s.ahead.Add(int64(60 * time.Second))
	if status, _ := f.Site("ams1"); status.State != SiteUp {
		t.Errorf("%+v", status)
	}
	fra.beat()
	ams.beat()
	s.awaitSite(f, "fra", SiteUp)
	f.awaitOutbox(t)
	if after, _ := s.storedEvents(f, last); len(after) != 1 || after[0].Event != eventSiteUp || after[0].Site != "fra" {
		t.Errorf("%d events before the restart, and %d after it", len(before), len(after))
	}
}

// An event that was lost, and a node that the edge forgot without one, are repaired by a snapshot, also at the next
// start.
func TestFleet_SnapshotRepairsLostEvents(t *testing.T) {
	s, edges := newHub(t, "ams1")
	f, ams := s.open(DefaultConfig()), edges[0]
	ams.change(Up, s.now(), names(100)...)
	ams.awaitNodes(f)
	ams.beat()
	if ams.beat() {
		t.Fatal("the hub wants a snapshot")
	}
	ams.message(ams.event(nodeName(0), Down, s.now())) // never arrives
	ams.states[nodeName(0)] = Down
	delete(ams.states, nodeName(1))
	ams.states[nodeName(100)] = Late
	if ams.beat() || !ams.beat() {
		t.Fatal("the hub does not want a snapshot")
	}
	ams.sendSnapshot("s1", 30)
	ams.awaitNodes(f)
	f.awaitOutbox(t)
	if status, _ := f.Site("ams1"); status.Corrections != 3 {
		t.Errorf("%d corrections, want 3", status.Corrections)
	}
	ams.beat()
	if ams.beat() {
		t.Error("the hub wants another snapshot")
	}
	events, last := s.storedEvents(f, 0)
	for _, e := range events[len(events)-3:] {
		if e.Site != "ams1" || e.Node == "" {
			t.Errorf("%+v", e)
		}
	}
	s.killFleet(f)
	f = s.open(DefaultConfig())
	ams.awaitNodes(f)
	ams.change(Up, s.now(), nodeName(0), nodeName(1)) // later events win
	ams.awaitNodes(f)
	if after, _ := s.storedEvents(f, last); len(after) != 2 {
		t.Errorf("%d events", len(after))
	}
}

// A site that is listed while the hub runs is shown with what it has forwarded before.
func TestFleet_ListsSitesWhileItRuns(t *testing.T) {
	s, edges := newHub(t, "ams1", "fra")
	s.edges.Store(nil)
	f := s.open(DefaultConfig())
	edges[1].change(Up, s.now(), names(10)...)
	request := contract.SiteSubject("fra", contract.SubjectHeartbeat)
	if a := s.request(request, edges[1].heartbeat()); !strings.Contains(a.Error, "not listed") {
		t.Errorf("answer %+v", a)
	}
	if _, ok := f.Site("fra"); ok {
		t.Error("the site is known")
	}
	s.edges.Store(&map[string]string{"fra": "fra.example.net"})
	edges[1].awaitNodes(f)
	edges[1].change(Down, s.now(), names(5)...)
	edges[1].awaitNodes(f)
	s.edges.Store(&map[string]string{"ams1": "ams1.example.net"})
	waitForNodes(t, f, 0)
	other := edges[0].heartbeat()
	other.Site = "fra"
	if a := s.request(contract.SiteSubject("ams1", contract.SubjectHeartbeat), other); a.Error == "" {
		t.Error("a heartbeat that names another site is accepted")
	}
	if a := s.request(contract.SiteSubject("ams1", contract.SubjectSnapshot), "x"); a.Error == "" {
		t.Error("a page that cannot be read is accepted")
	}
}

// The stream of events may not have the subjects of sites; the view opens all the same, and snapshots fill it.
func TestFleet_OpensWithoutForwardedEvents(t *testing.T) {
	s, edges := newHub(t, "ams1")
	if err := s.js.DeleteStream(t.Context(), contract.StreamFleet); err != nil {
		t.Fatal(err)
	}
	s.createStream(contract.StreamFleet, contract.SubjectFleet+">")
	f, ams := s.open(DefaultConfig()), edges[0]
	ams.states[nodeName(0)] = Down
	ams.beat()
	ams.beat()
	ams.sendSnapshot("s1", 10)
	ams.awaitNodes(f)
}

// Registrations of other sites have facts of their nodes and no others; their times are not those of nodes here.
func TestFleet_ReadsForwardedRegistrations(t *testing.T) {
	s, edges := newHub(t, "fra")
	f, fra := s.open(DefaultConfig()), edges[0]
	forwarded := func(text string) *nats.Msg {
		m := nats.NewMsg(contract.SiteSubject("fra", contract.SubjectNodeMetadata+nodeName(0)))
		m.Header = s.adapterHeader(0)
		m.Data = output(0, "1", inventoryBody(t, `{"facts":{"os":{"name":"`+text+`"}}}`))
		return m
	}
	s.register(1, func(n int) []byte { return output(n, "1", inventoryBody(t, `{"facts":{"os":{"name":"Debian"}}}`)) })
	fra.store(forwarded("Fedora"), forwarded("Alpine"))
	fra.change(Down, s.now(), nodeName(0), nodeName(1))
	id := NodeID{"fra", nodeName(0)}
	check := func() error {
		own, _, err := f.Detail(t.Context(), NodeID{"ams", nodeName(0)})
		if err != nil || len(own.Registrations) != 1 || own.FactText("os.name") != "Debian" {
			return fmt.Errorf("own: %+v %w", own, err)
		}
		other, _, err := f.Detail(t.Context(), id)
		if err != nil || len(other.Registrations) != 2 || other.FactText("os.name") != "Alpine" || other.State != Down {
			return fmt.Errorf("other: %+v %w", other, err)
		}
		d, _, err := f.Diff(t.Context(), id)
		if err != nil || len(d.Changes) != 1 {
			return fmt.Errorf("%+v %w", d, err)
		}
		return nil
	}
	wait.Eventually(t, check)
	page, err := f.Nodes(Query{Where: parseWhere(t, "os.name=Alpine")})
	if err != nil || len(page.Nodes) != 1 || page.Nodes[0].ID() != id {
		t.Errorf("%+v, %v", page, err)
	}
	s.killFleet(f)
	f = s.open(DefaultConfig())
	wait.Eventually(t, check)
}
