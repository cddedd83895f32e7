package broker

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// TestProvisioningConns_MakesRoomForOtherAddresses lets a flood come first, and then the nodes of other addresses.
func TestProvisioningConns_MakesRoomForOtherAddresses(t *testing.T) {
	const limit = 10
	closed := map[uint64]bool{}
	open := func(id uint64) bool { return !closed[id] }
	p := newProvisioningConns(limit)
	id := uint64(0)
	add := func(address string) (endedConn, error) {
		id++
		ended, err := p.add(id, fmt.Sprint("new", id), address, open)
		if ended.address != "" {
			closed[ended.id] = true
		}
		return ended, err
	}
	for n := range limit {
		if ended, err := add("flood"); err != nil || ended.address != "" {
			t.Fatalf("connection %d: %v %v", n, ended, err)
		}
	}
	if _, err := add("flood"); !errors.Is(err, errProvisioningLimit) {
		t.Errorf("one more of the flood: %v", err)
	}
	for n := range limit - 1 { // each takes the place of the newest of the flood, whose first stays
		ended, err := add(fmt.Sprintf("node%d", n))
		if want := (endedConn{id: uint64(limit - n), address: "flood"}); err != nil || ended != want {
			t.Errorf("node %d: ended %v, want %v: %v", n, ended, want, err)
		}
	}
	if _, err := add("node99"); !errors.Is(err, errProvisioningLimit) {
		t.Errorf("one more where each address has one: %v", err)
	}
	closed[1] = true // the first of the flood ends
	if ended, err := add("node99"); err != nil || ended.address != "" {
		t.Errorf("after one has ended: %v %v", ended, err)
	}
	if p.total != limit {
		t.Errorf("counts %d connections, want %d", p.total, limit)
	}
}

// TestProvisioning_FloodDoesNotKeepNodesOut opens as many connections with a provisioning token as may be, and more.
// Nodes and the provisioner connect all the same.
func TestProvisioning_FloodDoesNotKeepNodesOut(t *testing.T) {
	const limit = 5
	s, _ := openProvisioning(t, func(c *Config) { c.Provisioning.MaxConnections = limit })
	var flood []*nats.Conn
	for n := range limit {
		nc, err := s.connect(s.unprovisioned(fmt.Sprintf("flood%d", n))...)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		flood = append(flood, nc)
	}
	s.mustRefuse(t, "max-provisioning", s.unprovisioned("flood99")...)
	for name, options := range map[string][]nats.Option{
		"node": s.withToken(s.node("web1")), "client": s.withToken(s.client("choria=rip")), "provisioner": s.provisioner(),
	} {
		nc, err := s.connect(options...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		nc.Close()
	}
	flood[0].Close()
	wait.Eventually(t, func() error {
		nc, err := s.connect(s.unprovisioned("new1")...)
		if err == nil {
			t.Cleanup(nc.Close)
			flood = append(flood, nc)
		}
		return err
	})
	elsewhere := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	nc, err := s.connect(append(s.unprovisioned("new2"), nats.SetCustomDialer(&elsewhere))...)
	if err != nil {
		t.Fatalf("a node from another address: %v", err)
	}
	defer nc.Close()
	wait.Eventually(t, func() error {
		if newest := flood[limit]; !newest.IsClosed() {
			return errors.New("the newest connection of the address with most is open")
		}
		return nil
	})
}

// TestProvisioning_FloodOfOneNameIsBounded opens connections of one name until they are refused.
func TestProvisioning_FloodOfOneNameIsBounded(t *testing.T) {
	s, _ := openProvisioning(t, func(c *Config) { c.MaxPerIdentity = 3 })
	for range 3 {
		nc, err := s.connect(s.unprovisioned("new1")...)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	s.mustRefuse(t, "max-connections-per-identity", s.unprovisioned("new1")...)
	nc, err := s.connect(s.unprovisioned("new2")...)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}
