package broker

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// halfOpen opens connections that send nothing.
func halfOpen(t *testing.T, b *Broker, n int) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", b.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

func TestBroker_CountsConnectionsBeyondTheLimit(t *testing.T) {
	s := openSite(t, func(c *Config) { c.MaxConnections = 10 })
	internal := s.broker.Connections()
	halfOpen(t, s.broker, 30)
	wait.Eventually(t, func() error {
		if have, want := s.broker.auth.refusals.snapshot()["max-connections"], 20+uint64(internal); have != want {
			return fmt.Errorf("counted %d, want %d", have, want)
		}
		if !strings.Contains(s.log.String(), "connection refused: reason=max-connections address=127.0.0.1") {
			return fmt.Errorf("the log lacks it: %s", s.log)
		}
		return nil
	})
}

func TestBroker_ClosesUnauthenticatedConnectionsBeyondTheLimit(t *testing.T) {
	s := openSite(t, func(c *Config) { c.MaxUnauthenticated = 20 })
	node, err := s.connect(s.certificate("web1"))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	halfOpen(t, s.broker, 100)
	wait.Eventually(t, func() error {
		if have := s.broker.srv.GlobalAccount().NumLocalConnections(); have != 20 {
			return fmt.Errorf("%d are open", have)
		}
		if have := s.broker.auth.refusals.snapshot(); have["max-unauthenticated"] != 80 || have["handshake"] != 0 {
			return fmt.Errorf("counted %v", have)
		}
		return nil
	})
	if status := node.Status(); status != nats.CONNECTED {
		t.Errorf("the node is %s", status)
	}
}

func TestExcess(t *testing.T) {
	var all []*server.ConnInfo
	for i, ip := range []string{"a", "b", "b", "c", "b", "d"} {
		all = append(all, &server.ConnInfo{Cid: uint64(i), IP: ip})
	}
	for limit, want := range map[int][]uint64{6: nil, 9: nil, 5: {4}, 4: {4, 2}, 3: {4, 2, 5}, 0: {4, 2, 5, 3, 1, 0}} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			var have []uint64
			for _, c := range excess(all, limit, func(c *server.ConnInfo) string { return c.IP }) {
				have = append(have, c.Cid)
			}
			if !slices.Equal(have, want) {
				t.Errorf("have %v, want %v", have, want)
			}
		})
	}
}
