package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stage is a broker with the streams that a fleet lives on, and a clock that can be set.
type stage struct {
	tb     testing.TB
	broker *broker.Broker
	js     jetstream.JetStream
	system *nats.Conn
	ahead  atomic.Int64
}

func newStage(tb testing.TB) *stage {
	tb.Helper()
	cfg := broker.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	s := &stage{tb: tb}
	s.broker = broker.New(cfg, broker.DefaultJetStream(), broker.Options{
		Name: "b", Store: tb.TempDir(), Verifier: choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{})), Now: time.Now, Log: hclog.NewNullLogger(),
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
	s.stream(contract.StreamRegistration, contract.SubjectNodeMetadata+">")
	s.stream(contract.StreamFleet, contract.SubjectFleet+">")
	s.stream(contract.StreamAdvisories, contract.SubjectAdvisories)
	return s
}

func (s *stage) stream(name, subject string) {
	s.tb.Helper()
	if _, err := s.js.CreateStream(s.tb.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *stage) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// open watches the stage's nodes until the test ends.
func (s *stage) open(cfg Config) *Fleet {
	s.tb.Helper()
	f := New(cfg, Options{Site: "ams", StoreEvents: true, Now: s.now, Connect: s.broker.Connect, ConnectSystem: s.broker.ConnectSystem, Log: hclog.NewNullLogger()})
	if err := f.Open(s.tb.Context()); err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { _ = f.Close(context.Background()) })
	return f
}

// crash ends a fleet as a kill would: what is on its way may arrive, nothing else is sent.
func (s *stage) crash(f *Fleet) {
	f.conn.Close()
	f.system.Close()
	f.cancel()
	close(f.outbox.quit)
	f.closeOnce.Do(f.wg.Wait)
}

func name(n int) string { return fmt.Sprintf("node%05d.example.net", n) }

// register stores a registration of each of so many nodes, as an adapter would.
func (s *stage) register(nodes int, body func(n int) []byte) {
	s.tb.Helper()
	for n := range nodes {
		m := &nats.Msg{Subject: "choria.node_metadata." + name(n), Header: nats.Header{
			contract.HeaderSender: {name(n)}, contract.HeaderReceived: {s.now().UTC().Format(time.RFC3339Nano)}, contract.HeaderSite: {"ams"},
		}}
		if body != nil {
			m.Data = body(n)
		}
		if _, err := s.js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			s.tb.Fatal(err)
		}
	}
	<-s.js.PublishAsyncComplete()
}

// tell publishes what the broker would say of a node's connection.
func (s *stage) tell(what string, n int) {
	s.tb.Helper()
	var a connectionEvent
	a.Server.ID = "S"
	a.Client.ID, a.Client.Host, a.Client.User = uint64(n+1), "10.0.0.1", name(n)
	a.Client.Start, a.Client.Stop, a.Reason = s.now(), s.now(), "Client Closed"
	data, err := json.Marshal(a)
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := s.system.Publish("$SYS.ACCOUNT.choria."+what, data); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *stage) eventually(try func() error) {
	s.tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for err := try(); err != nil; err = try() {
		if time.Now().After(deadline) {
			s.tb.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// stored is how many messages a stream has.
func (s *stage) stored(stream string) int {
	s.tb.Helper()
	have, err := s.js.Stream(s.tb.Context(), stream)
	if err != nil {
		s.tb.Fatal(err)
	}
	return int(have.CachedInfo().State.Msgs)
}

// subjects is how many messages the stream of events has on each subject.
func (s *stage) subjects() map[string]uint64 {
	s.tb.Helper()
	have, err := s.js.Stream(s.tb.Context(), contract.StreamFleet)
	if err != nil {
		s.tb.Fatal(err)
	}
	info, err := have.Info(s.tb.Context(), jetstream.WithSubjectFilter("muster.fleet.>"))
	if err != nil {
		s.tb.Fatal(err)
	}
	return info.State.Subjects
}

func TestAFleetGoneAtOnceIsToldOnceThoughTheTellerIsKilled(t *testing.T) {
	nodes := 20_000
	if testing.Short() {
		nodes = 2_000
	}
	s := newStage(t)
	f := s.open(DefaultConfig())
	s.register(nodes, nil)
	s.eventually(func() error {
		if n := s.stored(contract.StreamFleet); n != nodes {
			return fmt.Errorf("%d of %d are new", n, nodes)
		}
		return nil
	})
	for n := range nodes {
		s.tell("CONNECT", n)
	}
	for n := range nodes {
		s.tell("DISCONNECT", n)
	}
	if err := s.system.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	s.eventually(func() error { // all of them have been heard
		var left int
		f.withRegistry(func(r *registry, _ time.Time) { left = len(r.connections) })
		if n, ok := f.Node(name(nodes - 1)); left > 0 || !ok || n.Connection.Connected != "no" {
			return fmt.Errorf("%d connections are left", left)
		}
		return nil
	})
	s.ahead.Add(int64(21 * time.Second))
	s.eventually(func() error {
		if n := s.stored(contract.StreamFleet) - nodes; n < nodes/4 {
			return fmt.Errorf("%d have been told to be down", n)
		}
		return nil
	})
	s.crash(f)
	told := s.stored(contract.StreamFleet) - nodes - 1
	t.Logf("killed when %d of %d had been told to be down", told, nodes)
	if told >= nodes {
		t.Fatal("it was killed too late")
	}

	f = s.open(DefaultConfig())
	for _, minutes := range []time.Duration{6, 6, 2} { // late, down, and the storm is over
		s.ahead.Add(int64(minutes * time.Minute))
		was := s.now()
		s.eventually(func() error {
			var last time.Time
			f.withRegistry(func(r *registry, _ time.Time) { last = r.lastTick })
			if sum := f.Summary(); last.Before(was) || sum.Events.Waiting > 0 {
				return fmt.Errorf("%+v", sum)
			}
			return nil
		})
	}
	s.eventually(func() error {
		if sum := f.Summary(); sum.States[Down] != nodes || len(sum.Storms) > 0 {
			return fmt.Errorf("%+v", sum)
		}
		return nil
	})
	var downs, storms uint64
	for subject, n := range s.subjects() {
		switch {
		case strings.HasPrefix(subject, contract.SubjectFleetNode+"down."):
			if n != 1 {
				t.Fatalf("%s is told %d times", subject, n)
			}
			downs++
		case strings.HasPrefix(subject, contract.SubjectFleetSite+eventStorm):
			storms += n
		}
	}
	if downs != uint64(nodes) || storms != 1 {
		t.Errorf("%d nodes have been told to be down, in %d storms", downs, storms)
	}
}

func TestEventsWaitForTheirStream(t *testing.T) {
	s := newStage(t)
	f := s.open(DefaultConfig())
	if err := s.js.DeleteStream(t.Context(), contract.StreamFleet); err != nil {
		t.Fatal(err)
	}
	s.register(10, nil)
	s.eventually(func() error {
		if !f.outbox.failing.Load() {
			return fmt.Errorf("no event had to wait")
		}
		if _, _, waiting := f.outbox.counts(); waiting != 10 {
			return fmt.Errorf("%d of 10 events wait, those on their way among them", waiting)
		}
		return nil
	})
	s.stream(contract.StreamFleet, contract.SubjectFleet+">")
	s.eventually(func() error {
		stored, dropped, waiting := f.outbox.counts()
		if n := s.stored(contract.StreamFleet); n != 10 || stored != 10 || dropped != 0 || waiting != 0 {
			return fmt.Errorf("%d of 10 events are in the stream; %d stored, %d dropped, %d waiting", n, stored, dropped, waiting)
		}
		return nil
	})
}

func TestWhatIsNoRegistrationAndNoEventStopsNobody(t *testing.T) {
	s := newStage(t)
	now := s.now().UTC().Format(time.RFC3339Nano)
	for subject, m := range map[string]*nats.Msg{
		contract.SubjectFleetNode + "down.x1":        {Data: []byte("no JSON")},
		contract.SubjectFleetNode + "down.x2":        {Data: []byte(`{"event":"up","node":"x2","to":"up","site":"ams"}`)},
		contract.SubjectFleetNode + "ill.x3":         {Data: []byte(`{"event":"ill","node":"x3","to":"ill","site":"ams"}`)},
		contract.SubjectFleetNode + "up.x4":          {Data: []byte(`{"event":"up","node":"x4","to":"down","site":"ams"}`)},
		contract.SubjectFleetSite + "storm.ams.fire": {Data: []byte(`{}`)},
		"choria.node_metadata.x5":                    {},
		"choria.node_metadata.x6":                    {Header: nats.Header{contract.HeaderSender: {"x 6"}, contract.HeaderReceived: {now}, contract.HeaderSite: {"ams"}}},
		"choria.node_metadata.x7":                    {Header: nats.Header{contract.HeaderSender: {"x7.>"}, contract.HeaderReceived: {now}, contract.HeaderSite: {"ams"}}},
		"choria.node_metadata.x8":                    {Header: nats.Header{contract.HeaderSender: {"x8"}, contract.HeaderReceived: {"today"}, contract.HeaderSite: {"ams"}}},
		"choria.node_metadata.x9":                    {Header: nats.Header{contract.HeaderSender: {"x9"}, contract.HeaderReceived: {now}, contract.HeaderSite: {"am s"}}},
		"choria.node_metadata.x10":                   {Header: nats.Header{contract.HeaderSender: {"x10"}, contract.HeaderReceived: {now}}},
	} {
		m.Subject = subject
		if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	f := s.open(DefaultConfig())
	const unreadable = 11
	// The first one was logged; the throttle has the rest.
	if count, _ := f.unreadable.Add("", 0, s.now().Add(unreadableInterval)); count != unreadable-1 {
		t.Errorf("%d messages were not read, want %d", 1+count, unreadable)
	}
	s.register(1, nil)
	s.eventually(func() error {
		if s.subjects()[contract.SubjectFleetNode+eventNew+"."+name(0)] != 1 || f.Summary().Nodes != 1 {
			return fmt.Errorf("%+v", f.Summary())
		}
		return nil
	})
}

func TestAdvisoriesAreThoseOfStreamReplicator(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Advisories = true
	s := newStage(t)
	s.open(cfg)
	s.register(1, nil)
	s.eventually(func() error {
		if n := s.stored("CHORIA_REGISTRATION_ADVISORIES"); n != 1 {
			return fmt.Errorf("%d advisories", n)
		}
		return nil
	})
	for _, step := range []time.Duration{12 * time.Minute, 7 * 24 * time.Hour} {
		before := s.stored("CHORIA_REGISTRATION_ADVISORIES")
		s.ahead.Add(int64(step))
		s.eventually(func() error {
			if n := s.stored("CHORIA_REGISTRATION_ADVISORIES"); n != before+1 {
				return fmt.Errorf("%d advisories after %s", n, step)
			}
			return nil
		})
	}
	have, err := s.js.Stream(t.Context(), "CHORIA_REGISTRATION_ADVISORIES")
	if err != nil {
		t.Fatal(err)
	}
	for sequence, event := range map[uint64]string{1: "new", 2: "timeout", 3: "expire"} {
		m, err := have.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		var a ageAdvisory
		if err := json.Unmarshal(m.Data, &a); err != nil || a.Event != event || a.Value != name(0) || a.Protocol != "io.choria.sr.v2.age_advisory" ||
			a.Replicator != "ams" || a.InspectField != "sender" || a.EventID == "" || a.Seen == 0 || a.Timestamp == 0 {
			t.Errorf("%s: %v: %s", event, err, m.Data)
		}
	}
}

func TestFactsClassesAndAgentsAreKept(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Index = []string{"os.name", "os.release.major", "cores", "missing.fact"}
	s := newStage(t)
	f := s.open(cfg)
	inventory := []byte(`{"agents":[{"name":"rpcutil"},{"name":"puppet"}],"classes":["role::web"],"facts":{"os":{"name":"Debian","release":{"major":"13"}},"cores":8}}`)
	facts := []byte(`{"os":{"name":"Fedora"},"cores":2}`)
	s.register(3, func(n int) []byte {
		var body []byte
		var err error
		switch n {
		case 0:
			body, err = choria.InventoryBody(inventory, true)
		case 1:
			body, err = choria.FileBody("/facts.json", time.Unix(1, 0), false, facts, true)
		case 2:
			body, err = choria.FileBody("/etc/motd", time.Unix(1, 0), false, []byte("no JSON"), true)
		}
		if err != nil {
			t.Fatal(err)
		}
		m := choria.Message{Sender: name(n), ID: "1", Time: time.Unix(1, 0), Body: body}
		return m.AppendOutput(nil)
	})
	s.eventually(func() error {
		if s := f.Summary(); s.States[Up] != 3 {
			return fmt.Errorf("%v", s)
		}
		return nil
	})
	_ = f.Close(t.Context())
	f = s.open(cfg) // which knows the nodes from their events already
	n, _ := f.Node(name(0))
	if string(n.Facts["os.name"]) != `"Debian"` || string(n.Facts["os.release.major"]) != `"13"` || string(n.Facts["cores"]) != "8" || len(n.Facts) != 3 ||
		strings.Join(n.Classes, " ") != "role::web" || strings.Join(n.Agents, " ") != "rpcutil puppet" {
		t.Errorf("inventory: %+v", n)
	}
	if n, _ := f.Node(name(1)); string(n.Facts["os.name"]) != `"Fedora"` || string(n.Facts["cores"]) != "2" || len(n.Facts) != 2 {
		t.Errorf("file: %+v", n)
	}
	if n, _ := f.Node(name(2)); len(n.Facts) != 0 {
		t.Errorf("no JSON: %+v", n)
	}
}
