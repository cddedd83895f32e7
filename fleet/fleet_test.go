package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// All nodes disconnect at once, and the process is killed while it stores their events. The next
// process stores the rest: one down event of each node, and one storm.
func TestFleet_StoresEachDownEventOnceAcrossKill(t *testing.T) {
	nodes := 20_000
	if testing.Short() {
		nodes = 2_000
	}
	s := newFixture(t)
	f := s.open(DefaultConfig())
	s.disconnectAll(f, nodes)
	s.ahead.Add(int64(21 * time.Second))
	wait.Eventually(t, func() error {
		if n := s.messages(contract.StreamFleet) - nodes; n < nodes/4 {
			return fmt.Errorf("%d down events are stored", n)
		}
		return nil
	})
	s.killFleet(f)
	stored := s.messages(contract.StreamFleet) - nodes - 1
	t.Logf("killed when %d of %d down events were stored", stored, nodes)
	if stored >= nodes {
		t.Fatal("it was killed too late")
	}

	f = s.open(DefaultConfig())
	f.awaitIntervals(t)                                  // until then the nodes keep their states
	for _, minutes := range []time.Duration{35, 35, 2} { // late, down, and the end of the storm
		s.ahead.Add(int64(minutes * time.Minute))
		from := s.now()
		wait.Eventually(t, func() error {
			var last time.Time
			f.withRegistry(func(r *registry, _ time.Time) { last = r.lastTick })
			if sum := f.Summary(); last.Before(from) || sum.Events.Waiting > 0 {
				return fmt.Errorf("%+v", sum)
			}
			return nil
		})
	}
	wait.Eventually(t, func() error {
		if sum := f.Summary(); sum.States[Down] != nodes || len(sum.Storms) > 0 || sum.Events.Waiting > 0 {
			return fmt.Errorf("%+v", sum)
		}
		return nil
	})
	var downs, storms uint64
	for subject, n := range s.eventSubjects() {
		switch {
		case strings.HasPrefix(subject, contract.SubjectFleetNode+"down."):
			if n != 1 {
				t.Fatalf("%s is stored %d times", subject, n)
			}
			downs++
		case strings.HasPrefix(subject, contract.SubjectFleetSite+eventStorm):
			storms += n
		}
	}
	if downs != uint64(nodes) || storms != 1 {
		t.Errorf("%d nodes have a down event, and there are %d storms", downs, storms)
	}
}

// disconnectAll registers, connects and disconnects the nodes, and waits until the fleet has
// seen all of it.
func (s *fixture) disconnectAll(f *Fleet, nodes int) {
	s.tb.Helper()
	s.register(nodes, nil)
	wait.Eventually(s.tb, func() error {
		if n := s.messages(contract.StreamFleet); n != nodes {
			return fmt.Errorf("%d of %d nodes are new", n, nodes)
		}
		return nil
	})
	for n := range nodes {
		s.publishConnection("CONNECT", n)
	}
	for n := range nodes {
		s.publishConnection("DISCONNECT", n)
	}
	if err := s.system.FlushTimeout(time.Minute); err != nil {
		s.tb.Fatal(err)
	}
	wait.Eventually(s.tb, func() error {
		var open int
		f.withRegistry(func(r *registry, _ time.Time) { open = len(r.connections) })
		if n, ok := f.Node(idOf(nodes - 1)); open > 0 || !ok || n.Connection.Connected != "no" {
			return fmt.Errorf("%d connections are open", open)
		}
		return nil
	})
}

func TestFleet_SkipsUnreadableMessages(t *testing.T) {
	s := newFixture(t)
	now := s.now().UTC().Format(time.RFC3339Nano)
	header := func(sender, received, site string) nats.Header {
		h := nats.Header{}
		for key, value := range map[string]string{
			contract.HeaderSender: sender, contract.HeaderReceived: received, contract.HeaderSite: site,
		} {
			if value != "" {
				h.Set(key, value)
			}
		}
		return h
	}
	messages := map[string]*nats.Msg{
		contract.SubjectFleetNode + "down.x1":        {Data: []byte("not JSON")},
		contract.SubjectFleetNode + "down.x2":        {Data: []byte(`{"event":"up","node":"x2","to":"up","site":"ams"}`)},
		contract.SubjectFleetNode + "ill.x3":         {Data: []byte(`{"event":"ill","node":"x3","to":"ill","site":"ams"}`)},
		contract.SubjectFleetNode + "up.x4":          {Data: []byte(`{"event":"up","node":"x4","to":"down","site":"ams"}`)},
		contract.SubjectFleetSite + "storm.ams.fire": {Data: []byte(`{}`)},
		contract.SubjectNodeMetadata + "x5":          {},
		contract.SubjectNodeMetadata + "x6":          {Header: header("x 6", now, "ams")},
		contract.SubjectNodeMetadata + "x7":          {Header: header("x7.>", now, "ams")},
		contract.SubjectNodeMetadata + "x8":          {Header: header("x8", "today", "ams")},
		contract.SubjectNodeMetadata + "x9":          {Header: header("x9", now, "am s")},
		contract.SubjectNodeMetadata + "x10":         {Header: header("x10", now, "")},
	}
	for subject, m := range messages {
		m.Subject = subject
		if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	f := s.open(DefaultConfig())
	// The first one was logged; the throttle has counted the rest.
	count, _ := f.unreadable.Add("", 0, s.now().Add(unreadableInterval))
	if want := uint64(len(messages) - 1); count != want {
		t.Errorf("%d messages were skipped without a log line, want %d", count, want)
	}
	s.register(1, nil)
	wait.Eventually(t, func() error {
		newNode := contract.SubjectFleetNode + eventNew + "." + nodeName(0)
		if s.eventSubjects()[newNode] != 1 || f.Summary().Nodes != 1 {
			return fmt.Errorf("%+v", f.Summary())
		}
		return nil
	})
}
