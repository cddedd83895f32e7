package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

func TestConfig_IdentityLimitDependsOnMemory(t *testing.T) {
	for _, test := range []struct {
		set, memory int64
		want        int
	}{
		{0, 0, 100}, {0, 128 << 20, 8}, {0, 1 << 30, 16}, {0, 64 << 30, 100}, {3, 1 << 30, 3}, {500, 128 << 20, 500},
	} {
		c := Config{MaxPerIdentity: test.set}
		if have := c.identityLimit(test.memory); have != test.want {
			t.Errorf("set to %d, %d bytes of memory: have %d, want %d", test.set, test.memory, have, test.want)
		}
	}
}

func TestConfig_UnauthenticatedLimitDependsOnMemory(t *testing.T) {
	for _, test := range []struct {
		set, memory int64
		want        int
	}{{0, 0, 6500}, {0, 64 << 20, 100}, {0, 512 << 20, 512}, {0, 64 << 30, 6500}, {7, 1 << 30, 7}} {
		c := DefaultConfig()
		c.MaxUnauthenticated = test.set
		if have := c.unauthenticatedLimit(test.memory); have != test.want {
			t.Errorf("set to %d, %d bytes of memory: have %d, want %d", test.set, test.memory, have, test.want)
		}
	}
}

func TestBroker_LimitsTheConnectionsOfAnIdentity(t *testing.T) {
	s := openSite(t, func(c *Config) {
		c.MaxPerIdentity = 3
		c.Roles.Admin = []string{"root"}
	})
	connect := func(option nats.Option) *nats.Conn {
		t.Helper()
		nc, err := s.connect(option)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	var own []*nats.Conn
	for range 3 {
		own = append(own, connect(s.certificate("web1")))
	}
	for range 5 { // others are not affected, and administrators have no limit
		s.mustRefuse(t, "max-connections-per-identity", s.certificate("web1"))
		connect(s.certificate("root"))
	}
	connect(s.certificate("web2"))
	own[1].Close()
	wait.Eventually(t, func() error { // the server notices
		nc, err := s.connect(s.certificate("web1"))
		if err == nil {
			t.Cleanup(nc.Close)
		}
		return err
	})
	s.mustRefuse(t, "max-connections-per-identity", s.certificate("web1"))
	if len(s.broker.auth.identities.ids) != 2 {
		t.Errorf("have %v", s.broker.auth.identities.ids)
	}
	s.broker.auth.identities.sweep(func(uint64) bool { return false })
	if len(s.broker.auth.identities.ids) != 0 {
		t.Errorf("after a sweep: %v", s.broker.auth.identities.ids)
	}
}

func TestBroker_LimitsSubscriptions(t *testing.T) {
	b := openBroker(t)
	accept(t, b)
	connect := func() *nats.Conn {
		t.Helper()
		nc, err := nats.Connect(b.Address(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	refuses := func(nc *nats.Conn, subject string) bool {
		t.Helper()
		_, err := nc.SubscribeSync(subject)
		if err = errors.Join(err, nc.Flush()); err != nil {
			t.Fatal(err)
		}
		return nc.LastError() != nil
	}
	if !refuses(connect(), strings.Repeat("a.", maxSubjectTokens)+"b") {
		t.Errorf("a subject of %d tokens is accepted", maxSubjectTokens+1)
	}
	nc := connect()
	for n := range maxSubscriptions {
		if refuses(nc, strings.Repeat("a.", maxSubjectTokens-1)+fmt.Sprint(n)) {
			t.Fatalf("%d: %v", n, nc.LastError())
		}
	}
	if !refuses(nc, "c") {
		t.Errorf("subscription %d is accepted", maxSubscriptions+1)
	}
}
