package broker

import (
	"fmt"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

func TestBroker_RoleOf(t *testing.T) {
	s := openSite(t, nil)
	system := nats.UserInfo("system", "secret")
	for name, test := range map[string]struct {
		options []nats.Option
		role    Role
	}{
		"node's certificate":          {[]nats.Option{s.certificate("web1")}, RoleNode},
		"client's certificate":        {[]nats.Option{s.certificate("rip.mcollective")}, RoleClient},
		"administrator's certificate": {[]nats.Option{s.certificate("root.example.net")}, RoleAdmin},
		"node's token":                {s.withToken(s.node("web1")), RoleNode},
		"client's token":              {s.withToken(s.client("choria=rip")), RoleClient},
		"administrator's token":       {s.withToken(s.client("choria=ops", "org_admin")), RoleAdmin},
		"admin token":                 {[]nats.Option{s.anonymous(), nats.Token(s.broker.AdminToken())}, RoleAdmin},
		"system user":                 {[]nats.Option{s.certificate("web1"), system}, RoleAdmin},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := s.connect(append(test.options, nats.Name("web1"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			wantRole(t, s.broker, nc, test.role)
		})
	}
}

func TestBroker_RoleOfInLab(t *testing.T) {
	b := openBroker(t)
	accept(t, b)
	for name, role := range map[string]Role{
		"web1.example.net":                RoleNode,
		"choria=rip.mcollective-receiver": RoleClient,
		"NATS CLI Version 0.1.5":          RoleClient,
		"":                                RoleClient,
	} {
		nc, err := nats.Connect("nats://"+b.Address(), nats.Name(name))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		wantRole(t, b, nc, role)
	}
	internal, err := b.Connect("web1")
	if err != nil {
		t.Fatal(err)
	}
	defer internal.Close()
	wantRole(t, b, internal, RoleInternal)
	if role := b.RoleOf(1 << 40); role != RoleNone {
		t.Errorf("unknown connection is %s", role)
	}
}

func wantRole(t *testing.T, b *Broker, nc *nats.Conn, want Role) {
	t.Helper()
	id, err := nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	if role := b.RoleOf(id); role != want {
		t.Errorf("role is %s, want %s", role, want)
	}
}

func TestConnectionRoles_ForgetsEndedConnections(t *testing.T) {
	c := connectionRoles{roles: map[uint64]Role{}, limit: minRoles}
	open := func(id uint64) bool { return id%100 == 0 }
	const added = 100 * minRoles
	for id := range uint64(added) {
		c.add(id, RoleNode, open)
	}
	if n := len(c.roles); n > 2*added/100+minRoles {
		t.Errorf("%d roles are kept of %d open connections", n, added/100)
	}
	for id := uint64(0); id < added; id += 100 {
		if c.get(id) != RoleNode {
			t.Fatalf("the role of open connection %d is %s", id, c.get(id))
		}
	}
}

func TestBroker_CountsConnectionsByKind(t *testing.T) {
	s := openSite(t, nil)
	metric := func(kind string) (n float64) {
		registry := prometheus.NewRegistry()
		registry.MustRegister(s.broker.Collector())
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				if family.GetName() == "muster_broker_connections" && m.GetLabel()[0].GetValue() == kind {
					n = m.GetGauge().GetValue()
				}
			}
		}
		return n
	}
	internal := metric("internal")
	var nodes []*nats.Conn
	for _, options := range [][]nats.Option{
		{s.certificate("web1")}, {s.certificate("web2")}, {s.certificate("web2")},
		{s.certificate("rip.mcollective")}, {s.certificate("root.example.net")},
	} {
		nc, err := s.connect(options...)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nodes = append(nodes, nc)
	}
	internalConn(t, s.broker)
	want := map[string]float64{"node": 3, "client": 1, "admin": 1, "internal": internal + 1}
	for kind, n := range want {
		if have := metric(kind); have != n {
			t.Errorf("%v connections of kind %s, want %v", have, kind, n)
		}
	}
	nodes[0].Close()
	wait.Eventually(t, func() error {
		if have := metric("node"); have != 2 {
			return fmt.Errorf("%v connections of nodes, want 2", have)
		}
		return nil
	})
}
