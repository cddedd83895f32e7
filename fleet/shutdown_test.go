package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// sayGoodbye publishes the shutdown event of node n over a connection, with padding.
func (s *fixture) sayGoodbye(nc *nats.Conn, n, padding int) {
	s.tb.Helper()
	event, err := choria.EncodeShutdown(nodeName(n), strings.Repeat("x", padding), s.now())
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := nc.Publish(choria.ShutdownSubject, event); err != nil {
		s.tb.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		s.tb.Fatal(err)
	}
}

// awaitGoodbyes waits until the fleet has so many shutdown events ignored, and one of node n accepted.
func (s *fixture) awaitGoodbyes(f *Fleet, ignored uint64, n int) {
	s.tb.Helper()
	wait.Eventually(s.tb, func() error {
		var accepted bool
		f.withRegistry(func(r *registry, _ time.Time) { accepted = !r.nodes[nodeName(n)].ShutdownAt.IsZero() })
		if have := f.ignored.Load(); have != ignored || !accepted {
			return fmt.Errorf("%d shutdown events ignored, want %d; that of node %d accepted: %v", have, ignored, n, accepted)
		}
		return nil
	})
}

// Two nodes publish shutdown events of each other and of themselves. The connection of the fleet
// view is lost in between. In a lab a connection can choose its user, which then proves nothing.
func TestFleet_AcceptsOnlyOwnShutdownEvents(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.lab = true
	if err := s.broker.Accept(); err != nil {
		t.Fatal(err)
	}
	f := s.open(DefaultConfig())
	s.register(3, nil)
	zero, one := s.connectNode(0), s.connectNode(1, nats.UserInfo(nodeName(2), "chosen"))
	s.awaitConnected(f, map[int]string{0: "yes", 1: "yes", 2: "unknown"})

	s.sayGoodbye(one, 0, 0)
	s.sayGoodbye(one, 2, 0)
	s.sayGoodbye(one, 1, maxShutdownBytes) // is not read
	s.sayGoodbye(zero, 0, 0)
	s.awaitGoodbyes(f, 2, 0)

	first := s.shutdowns.Load()
	first.Close()
	wait.Eventually(t, func() error {
		if s.shutdowns.Load() == first {
			return fmt.Errorf("not connected again")
		}
		return nil
	})
	s.sayGoodbye(zero, 1, 0)
	s.sayGoodbye(one, 1, 0)
	s.awaitGoodbyes(f, 3, 1)
	f.withRegistry(func(r *registry, _ time.Time) {
		if n := r.nodes[nodeName(2)]; !n.ShutdownAt.IsZero() {
			t.Error("a shutdown event of a node without connections was accepted")
		}
	})
}

func TestFleet_CloseEndsTheConnectionForShutdownEvents(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	dialed := make(chan struct{}, 100)
	f.opts.DialShutdowns = func(inproc.Receiver) (*inproc.Conn, error) { // as while the broker closes
		dialed <- struct{}{}
		return nil, fmt.Errorf("refused")
	}
	s.shutdowns.Load().Close()
	<-dialed
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
