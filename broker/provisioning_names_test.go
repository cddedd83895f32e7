package broker

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// mustClose closes a connection, and waits until the broker does not have it any more.
func mustClose(t *testing.T, s *site, nc *nats.Conn) {
	t.Helper()
	id, err := nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	wait.Eventually(t, func() error {
		if s.broker.IsOpen(id) {
			return errors.New("the connection is open")
		}
		return nil
	})
}

// TestProvisioning_EndsWhenItsNodeConnects connects as nodes in provisioning with the names of two nodes, before these
// connect: with a token, and with a certificate.
func TestProvisioning_EndsWhenItsNodeConnects(t *testing.T) {
	s, _ := openProvisioning(t, nil)
	connect := func(options ...nats.Option) *nats.Conn {
		t.Helper()
		nc, err := s.connect(options...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	other := connect(s.unprovisioned("web3")...)
	for name, options := range map[string][]nats.Option{
		"web1": s.withToken(s.node("web1")), "web2": {s.certificate("web2")},
	} {
		before := s.broker.auth.refusals.snapshot()["name-in-use"]
		squatters := []*nats.Conn{connect(s.unprovisioned(name)...), connect(s.unprovisioned(name)...)}
		node := connect(options...)
		wait.Eventually(t, func() error {
			for _, nc := range squatters {
				if !nc.IsClosed() {
					return errors.New("a connection in provisioning is open")
				}
			}
			if n := s.broker.auth.refusals.snapshot()["name-in-use"] - before; n != 2 {
				return fmt.Errorf("counted %d, want 2", n)
			}
			return nil
		})
		s.mustRefuse(t, "name-in-use", s.unprovisioned(name)...)
		mustClose(t, s, node)
		connect(s.unprovisioned(name)...)
	}
	if err := other.Flush(); err != nil {
		t.Errorf("a connection with another name was ended: %v", err)
	}
	if line := "connection ended: reason=name-in-use address=127.0.0.1 name=web"; !strings.Contains(s.log.String(), line) {
		t.Errorf("the log lacks %q:\n%s", line, s.log)
	}
}

// TestProvisioning_NamesOfNodesThatConnectMeanwhile connects as a node in provisioning and as the node with that name
// at the same time. In the end only the node is connected.
func TestProvisioning_NamesOfNodesThatConnectMeanwhile(t *testing.T) {
	s, _ := openProvisioning(t, nil)
	for n := range 5 {
		name := fmt.Sprintf("web%d", n)
		conns, options := make([]*nats.Conn, 4), [][]nats.Option{s.withToken(s.node(name))}
		for range 3 {
			options = append(options, s.unprovisioned(name))
		}
		var tried sync.WaitGroup
		for i := range conns {
			tried.Go(func() { conns[i], _ = s.connect(options[i]...) })
		}
		tried.Wait()
		if conns[0] == nil {
			t.Fatal("the node was refused")
		}
		wait.Eventually(t, func() error {
			for _, nc := range conns[1:] {
				if nc != nil && !nc.IsClosed() {
					return errors.New("a connection in provisioning is open")
				}
			}
			return nil
		})
		late := &connectionAttempt{name: name} // was admitted before the node connected, and is counted after that
		if err := s.broker.auth.limitProvisioning(1_000_000, late); !errors.Is(err, errNameInUse) {
			t.Errorf("a connection that was admitted before that of the node: %v", err)
		}
		conns[0].Close()
	}
}
