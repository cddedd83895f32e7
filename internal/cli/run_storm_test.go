package cli

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// connectNodes connects nodes and registers each of them once.
func connectNodes(t *testing.T, broker string, nodes int, o simnode.NodeOptions) []*nats.Conn {
	t.Helper()
	conns := make([]*nats.Conn, nodes)
	for i := range conns {
		n, err := simnode.NewNode(i, o)
		if err != nil {
			t.Fatal(err)
		}
		conns[i], err = nats.Connect(broker, nats.Name(n.Identity), nats.MaxReconnects(-1),
			nats.ReconnectWait(100*time.Millisecond), nats.IgnoreAuthErrorAbort(),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conns[i].Close)
		_, raw, err := n.Registration(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := conns[i].Publish(simnode.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	return conns
}

func TestRun_ARestartMakesNoNodeDown(t *testing.T) {
	t.Parallel()
	nodes := 100
	if long() {
		nodes = 1000
	}
	config := fastLabConfig(t)
	p := startProcess(t, config)
	conns := connectNodes(t, p.broker, nodes, simnode.NodeOptions{Size: 2 << 10})
	allUp := func(connected bool) func() error {
		return func() error {
			s := summary(t, p.console)
			if s.States[fleet.Up] != nodes || s.Nodes != nodes || s.Events.Waiting > 0 {
				return fmt.Errorf("%v", s)
			}
			for _, nc := range conns {
				if connected && !nc.IsConnected() {
					return fmt.Errorf("%s is not connected", nc.Opts.Name)
				}
			}
			return nil
		}
	}
	wait.Eventually(t, allUp(true))
	for _, end := range []func(){func() { p.kill() }, func() { p.terminate(t) }} {
		end()
		time.Sleep(time.Second)
		p = startProcess(t, config)
		wait.Eventually(t, allUp(true))
		time.Sleep(3 * time.Second) // longer than the grace
		if err := allUp(true)(); err != nil {
			t.Error(err)
		}
	}
	if have := messages(t, p.broker, contract.StreamFleet); have != uint64(nodes) {
		t.Errorf("%d events of %d new nodes", have, nodes)
	}
}

func TestRun_KilledDuringAStormStoresEachEventOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	nodes := 2000 // several batches of events
	switch {
	case raceDetector:
		nodes = 200
	case !long():
		nodes = 1000
	}
	config := fastLabConfig(t, "late_after = '15s'\ndown_after = '17s'\n")
	p := startProcess(t, config)
	conns := connectNodes(t, p.broker, nodes, simnode.NodeOptions{Size: 2 << 10})
	wait.Eventually(t, func() error { // on a slow machine the first are late before the last connect
		if s := summary(t, p.console); s.States[fleet.Up]+s.States[fleet.Late] != nodes || s.Events.Waiting > 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	watch, err := nats.Connect(p.broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Close)
	enough := make(chan struct{}) // closed after a quarter of the events
	var received atomic.Int64
	if _, err := watch.Subscribe(contract.SubjectWrite+"*."+contract.SubjectFleetNode+"down.>", func(*nats.Msg) {
		if int(received.Add(1)) == nodes/4 {
			close(enough)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := watch.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, nc := range conns {
		nc.Close()
	}
	select {
	case <-enough:
	case <-time.After(30 * time.Second):
		t.Fatalf("%d nodes are down", received.Load())
	}
	p.kill()
	if int(received.Load()) >= nodes {
		t.Fatal("all events were published before the kill")
	}
	t.Logf("killed after %d of %d", received.Load(), nodes)

	p = startProcess(t, config)
	wait.Eventually(t, func() error {
		if s := summary(t, p.console); s.States[fleet.Down] != nodes || s.Events.Waiting > 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	downs, storms := 0, 0
	for subject, times := range storedEvents(t, p.broker) {
		down := strings.HasPrefix(subject, contract.SubjectFleetNode+"down.")
		storm := strings.HasPrefix(subject, contract.SubjectFleetSite+"storm.")
		if (down || storm) && times != 1 {
			t.Errorf("%s is stored %d times", subject, times)
		}
		if down {
			downs++
		}
		if storm {
			storms++
		}
	}
	if downs != nodes || storms != 1 {
		t.Errorf("%d events of nodes that are down and %d of storms are stored", downs, storms)
	}
}

// storedEvents returns how often the stream has each event, by its subject.
func storedEvents(t *testing.T, broker string) map[string]uint64 {
	t.Helper()
	s, err := jetStream(t, broker).Stream(t.Context(), contract.StreamFleet)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Subjects
}
