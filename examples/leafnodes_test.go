package examples

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// TestLeafnodes_ClientsReachNodesOfTheSite sends a request at the hub to a node of the site, which also registers: the
// hub must not see that.
func TestLeafnodes_ClientsReachNodesOfTheSite(t *testing.T) {
	const name, reply = "web1.ams.example.net", "mcollective.reply.0123456789abcdef0123456789abcdef.1"
	site := newSite(t, false)
	edgeDir, nodeDir, clientDir := enrollEdge(t, site), enrollNode(t, site, name), enrollClient(t, site, client)
	hub := start(t, site, read(t, "leafnodes", "hub.toml"))
	a := start(t, &enroll.Site{Dir: edgeDir}, strings.Replace(read(t, "leafnodes", "site.toml"),
		"tls://"+broker+":7422", hub.Listeners()["leafnodes"], 1))
	node := testkit.Connect(t, a, certificateOf(t, nodeDir), choriaOptions)
	if _, err := node.Subscribe("mcollective.node."+name, func(m *nats.Msg) {
		_ = node.Publish(string(m.Data), []byte("pong"))
	}); err != nil {
		t.Fatal(err)
	}
	caller := testkit.Connect(t, hub, certificateOf(t, clientDir), choriaOptions)
	replies, err := caller.SubscribeSync("mcollective.reply.0123456789abcdef0123456789abcdef.*")
	if err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		if err := caller.Publish("mcollective.node."+name, []byte(reply)); err != nil {
			return err
		}
		_, err := replies.NextMsg(100 * time.Millisecond)
		return err
	})
	links := hub.Leafnodes()
	if len(links) != 1 || !links[0].Connected || links[0].Name != edge || links[0].Received == 0 {
		t.Errorf("the links of the hub are %+v", links)
	}
	register(t, node, name, nodeDir)
	wait.Eventually(t, func() error {
		if a.Stats()["registration"].Stored != 1 {
			return errors.New("the site has not stored the registration")
		}
		return nil
	})
	if n := hub.Stats()["registration"].Received; n != 0 {
		t.Errorf("the hub has received %d registrations", n)
	}
	for state, n := range hub.States() {
		if n > 0 {
			t.Errorf("the hub shows %d nodes as %s", n, state)
		}
	}
}
