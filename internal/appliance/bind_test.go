package appliance_test

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// nodeWithConn is a node with its connection.
type nodeWithConn struct {
	*simnode.Node
	nc *nats.Conn
}

// connectNodes connects nodes, in turns with certificates and tokens.
func connectNodes(t *testing.T, a *appliance.Appliance, site *enroll.Site, count int) (nodes []nodeWithConn) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		n, err := simnode.NewNode(i, simnode.NodeOptions{Site: site, RSA: key})
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, nodeWithConn{n, testkit.Connect(t, a, n.Options(n.Identity, site.Roots())...)})
	}
	return nodes
}

// publish publishes a message, and waits until the broker has it.
func publish(t *testing.T, nc *nats.Conn, m *nats.Msg) {
	t.Helper()
	if err := nc.PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// TestAppliance_RejectsMessagesOverWrongConnections has each of two nodes publish the signed bytes of
// the other again, also with a header like the one by which the server names the publisher.
func TestAppliance_RejectsMessagesOverWrongConnections(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, keepAll)
	a := testkit.Appliance(t, text)
	nodes := connectNodes(t, a, site, 2)
	for i, n := range nodes {
		other := nodes[1-i]
		_, raw, err := n.Registration(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		m := &nats.Msg{Subject: testkit.Subject, Data: raw}
		publish(t, other.nc, m)
		forged := nats.Header{"Nats-Request-Info": {`{"id":1,"user":"` + n.Identity + `","name":"` + n.Identity + `"}`}}
		publish(t, other.nc, &nats.Msg{Subject: testkit.Subject, Data: raw, Header: forged})
		testkit.Settled(t, a, "registration", uint64(3*i+2))
		publish(t, n.nc, m) // not a duplicate: the others were not stored
		testkit.Settled(t, a, "registration", uint64(3*i+3))
	}
	if s := a.Stats()["registration"]; s.Stored != 2 || s.Rejected[contract.ReasonWrongConnection] != 4 {
		t.Errorf("have %+v", s)
	}
	var answer struct{ Cases []rejected.Entry }
	testkit.GetJSON(t, a, "/api/v1/rejected", &answer)
	for _, n := range nodes {
		found := false
		for _, e := range answer.Cases {
			found = found || e.Name == n.Identity && e.Reason == contract.ReasonWrongConnection && e.Count == 2
		}
		if !found {
			t.Errorf("%s is not named: %+v", n.Identity, answer)
		}
	}
}

// TestAppliance_ForgedGoodbyesDoNotHideAnOutage has a node publish the shutdown event of another one,
// whose connection then ends; then each announces its own shutdown.
func TestAppliance_ForgedGoodbyesDoNotHideAnOutage(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, keepAll+"[fleet]\ndisconnect_grace = '1s'\n")
	a := testkit.Appliance(t, text)
	nodes := connectNodes(t, a, site, 3)
	for _, n := range nodes {
		_, raw, err := n.Registration(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		publish(t, n.nc, &nats.Msg{Subject: testkit.Subject, Data: raw})
	}
	awaitStates(t, a, map[nodeWithConn]string{nodes[0]: "up", nodes[1]: "up", nodes[2]: "up"})
	goodbye := func(n nodeWithConn, header nats.Header) *nats.Msg {
		event, err := choria.EncodeShutdown(n.Identity, "0", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return &nats.Msg{Subject: choria.ShutdownSubject, Data: event, Header: header}
	}
	victim := nodes[0]
	forged := nats.Header{"Nats-Request-Info": {`{"id":1,"user":"` + victim.Identity + `"}`}}
	publish(t, nodes[1].nc, goodbye(victim, nil))
	publish(t, nodes[2].nc, goodbye(victim, forged))
	victim.nc.Close()
	for _, n := range nodes[1:] { // one has a certificate, one a token
		publish(t, n.nc, goodbye(n, nil))
		n.nc.Close()
	}
	awaitStates(t, a, map[nodeWithConn]string{victim: "down", nodes[1]: "stopped", nodes[2]: "stopped"})
	_, scrape := testkit.Get(t, a, "/metrics")
	if !strings.Contains(scrape, "\nmuster_fleet_shutdown_events_ignored_total 2\n") {
		t.Error("not two shutdown events are counted as ignored")
	}
}

// awaitStates waits until the fleet view has the nodes in these states.
func awaitStates(t *testing.T, a *appliance.Appliance, want map[nodeWithConn]string) {
	t.Helper()
	wait.Eventually(t, func() error {
		for n, state := range want {
			var node struct{ State string }
			testkit.GetJSON(t, a, "/api/v1/nodes/"+n.Identity, &node)
			if node.State != state {
				return fmt.Errorf("%s is %q, want %s", n.Identity, node.State, state)
			}
		}
		return nil
	})
}
