package broker

import (
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// TestLeafnodes_SitesReachEachOther links three sites to each other, in a circle: requests cross one link, and each
// node receives them once and replies once, in either protocol of Choria, also while interest is still on its way.
func TestLeafnodes_SitesReachEachOther(t *testing.T) {
	t.Parallel()
	const second = "collector2.lon.example.net"
	hub := openSite(t, func(c *Config) {
		acceptLeafnode(c, CrossBoth)
		c.Leafnodes.Peers[second] = CrossNodes
	})
	ams := openLeaf(t, hub, leafName, CrossBoth, func(c *Config, _ *LeafRemote) {
		c.Leafnodes.Listen, c.Leafnodes.Peers = "127.0.0.1:0", map[string]Crossing{second: CrossBoth}
	})
	lon := openLeaf(t, hub, second, CrossClients, func(c *Config, _ *LeafRemote) {
		toAms := newLeafRemote("ams")
		toAms.URLs, toAms.Allow = []string{"tls://" + ams.broker.leafAddress()}, CrossBoth
		c.Leafnodes.Remotes["ams"] = toAms
	})
	received := map[string]func() []string{}
	for site, names := range map[*site][]string{hub: {"hub1"}, ams: {"ams1", "ams2"}, lon: {"lon1"}} {
		for _, name := range names {
			received[name] = site.startNode(t, name)
		}
	}
	waitLinked(t, hub, ams, lon)
	const ping = "mcollective.broadcast.agent.discovery"
	atHub, atAms, atLon := hub.choriaClient(t, "hub.mcollective"), ams.choriaClient(t, "ams.mcollective"),
		lon.choriaClient(t, "lon.mcollective")
	atHub.reaches(t, ping, "ams1", "ams2", "hub1", "lon1")
	atAms.reaches(t, ping, "ams1", "ams2", "hub1", "lon1")
	atLon.reaches(t, ping, "ams1", "ams2", "lon1") // the hub does not take requests of this site
	atHub.reaches(t, "mcollective.node.lon1", "lon1")
	atAms.reaches(t, "mcollective.node.hub1", "hub1")
	atLon.reachesNone(t, "mcollective.node.hub1")
	for name, requests := range received {
		if len(requests()) == 0 {
			t.Errorf("%s has received nothing", name)
		}
	}
}

// TestLeafnodes_NoTransit links two sites to a hub: neither reaches the other one, also with what both allow the hub.
func TestLeafnodes_NoTransit(t *testing.T) {
	t.Parallel()
	const second = "collector2.lon.example.net"
	hub := openSite(t, func(c *Config) {
		acceptLeafnode(c, CrossBoth)
		c.Leafnodes.Peers[second] = CrossBoth
	})
	ams, lon := openLeaf(t, hub, leafName, CrossBoth, nil), openLeaf(t, hub, second, CrossBoth, nil)
	ams.startNode(t, "ams1")
	lonReceived := lon.startNode(t, "lon1")
	hub.startNode(t, "hub1")
	waitLinked(t, hub, ams, lon)
	client := ams.choriaClient(t, "ams.mcollective")
	client.reaches(t, "mcollective.broadcast.agent.discovery", "ams1", "hub1")
	client.reaches(t, "mcollective.node.hub1", "hub1")
	client.reachesNone(t, "mcollective.node.lon1")
	if got := lonReceived(); len(got) > 0 {
		t.Errorf("received: %q", got)
	}
}

// TestLeafnodes_ServicesOfTheSiteComeFirst requires that a request to a service, whose hosts share a queue, goes to a
// host of the site if there is one, and otherwise over the link.
func TestLeafnodes_ServicesOfTheSiteComeFirst(t *testing.T) {
	t.Parallel()
	const service, requests = "mcollective.broadcast.service.signer", 20
	hub := openAccepting(t, CrossNodes)
	leaf := openLeaf(t, hub, leafName, CrossClients, nil)
	waitLinked(t, hub, leaf)
	atHub := internalConn(t, hub.broker)
	atLeaf := internalConn(t, leaf.broker)
	far, err := atLeaf.QueueSubscribeSync(service, "signer")
	if err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		if err := atHub.Publish(service, nil); err != nil {
			return err
		}
		_, err := far.NextMsg(100 * time.Millisecond)
		return err
	})
	for err := error(nil); err == nil; { // what was sent meanwhile
		_, err = far.NextMsg(100 * time.Millisecond)
	}
	near, err := atHub.QueueSubscribeSync(service, "signer")
	if err != nil {
		t.Fatal(err)
	}
	for range requests {
		if err := atHub.Publish(service, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range requests {
		if _, err := near.NextMsg(wait.Limit); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := far.NextMsg(100 * time.Millisecond); err == nil {
		t.Error("a request to a service of the site has crossed")
	}
}
