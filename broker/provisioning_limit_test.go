package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// TestProvisioningConns_MakesRoomForOtherAddresses lets a flood come first, and then the nodes of other addresses.
func TestProvisioningConns_MakesRoomForOtherAddresses(t *testing.T) {
	const limit = 10
	closed := map[uint64]bool{}
	open := func(id uint64) bool { return !closed[id] }
	p := newProvisioningConns(limit)
	id, now := uint64(0), recordedAt
	add := func(address string) (ended uint64, err error) {
		id++
		c, err := p.add(provisioningConn{id, address, now}, fmt.Sprint("new", id), address, open)
		closed[c.id] = true
		return c.id, err
	}
	for n := range limit {
		if ended, err := add("flood"); err != nil || ended != 0 {
			t.Fatalf("connection %d: %v %v", n, ended, err)
		}
	}
	if _, err := add("flood"); !errors.Is(err, errProvisioningLimit) {
		t.Errorf("one more of the flood: %v", err)
	}
	for n := range limit - 1 { // each takes the place of the newest of the flood, whose first stays
		ended, err := add(fmt.Sprintf("node%d", n))
		if want := uint64(limit - n); err != nil || ended != want {
			t.Errorf("node %d: ended %v, want %v: %v", n, ended, want, err)
		}
	}
	if _, err := add("node99"); !errors.Is(err, errProvisioningLimit) {
		t.Errorf("one more where each address has one: %v", err)
	}
	closed[1] = true // the first of the flood ends
	now = now.Add(provisioningSweep)
	if ended, err := add("node99"); err != nil || ended != 0 {
		t.Errorf("after one has ended: %v %v", ended, err)
	}
	now = now.Add(provisioningAge + time.Second)
	for name, network := range map[string]string{"a new network": "node100", "one of the others": "node99"} {
		if ended, err := add(network); err != nil || ended == 0 {
			t.Errorf("%s, when all are old: ended %d: %v", name, ended, err)
		}
		if _, err := add(network); !errors.Is(err, errProvisioningLimit) {
			t.Errorf("%s, when its own is new: %v", name, err)
		}
	}
	if p.total != limit {
		t.Errorf("counts %d connections, want %d", p.total, limit)
	}
}

// TestConnectionAttempt_Network has addresses that a host may choose freely, and others.
func TestConnectionAttempt_Network(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8::1": "2001:db8::/64", "2001:db8::ffff:0:0:2": "2001:db8::/64",
		"2001:db8:0:1::1": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if have := (&connectionAttempt{address: netip.MustParseAddr(address)}).network(); have != want {
			t.Errorf("%s: %s, want %s", address, have, want)
		}
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
