package broker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// transport is the outermost part of a message of Choria, as far as a node needs it to reply.
type transport struct {
	Protocol string            `json:"protocol"`
	Data     string            `json:"data"`
	Headers  map[string]string `json:"headers"`
}

// startNode connects a node with its certificate to a site until the test ends. It subscribes as Choria's servers do,
// and replies to each request at the subject in its transport. received has the requests.
func (s *site) startNode(t *testing.T, name string) (received func() []string) {
	t.Helper()
	nc := s.peer(t, s.certificate(name)).nc
	var mu sync.Mutex
	var got []string
	for _, subject := range []string{"mcollective.broadcast.agent.discovery", "mcollective.node." + name} {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
			var request transport
			if json.Unmarshal(m.Data, &request) != nil || request.Headers["reply-to"] == "" {
				return
			}
			mu.Lock()
			got = append(got, request.Data)
			mu.Unlock()
			_ = nc.Publish(request.Headers["reply-to"], []byte(name))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}

// siteClient is a client of Choria at a site.
type siteClient struct {
	nc    *nats.Conn
	inbox string
	sub   *nats.Subscription
	count int // of its requests
}

// client connects a client with its certificate to a site until the test ends.
func (s *site) choriaClient(t *testing.T, name string) *siteClient {
	t.Helper()
	c := &siteClient{nc: s.peer(t, s.certificate(name)).nc}
	c.inbox = "mcollective.reply." + strings.ReplaceAll(name, ".", "") // as long as the client lives
	var err error
	if c.sub, err = c.nc.SubscribeSync(c.inbox + ".*"); err != nil {
		t.Fatal(err)
	}
	if err := c.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return c
}

// request sends a request to a subject as Choria does, and returns which nodes replied within a moment, sorted.
func (c *siteClient) request(t *testing.T, subject string) (nodes []string) {
	t.Helper()
	c.count++
	text, err := json.Marshal(transport{
		Protocol: "choria:transport:1", Data: base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(c.inbox, c.count))),
		Headers: map[string]string{"reply-to": fmt.Sprintf("%s.%d", c.inbox, c.count)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.nc.Publish(subject, text); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := c.sub.NextMsg(300 * time.Millisecond)
		if err != nil {
			slices.Sort(nodes)
			return nodes
		}
		if strings.HasSuffix(m.Subject, fmt.Sprintf(".%d", c.count)) {
			nodes = append(nodes, string(m.Data))
		}
	}
}

// reaches repeats a request until these nodes reply, each once; none: it requires that once.
func (c *siteClient) reaches(t *testing.T, subject string, want ...string) {
	t.Helper()
	wait.Eventually(t, func() error { // interest may still be on its way
		if got := c.request(t, subject); !slices.Equal(got, want) {
			return fmt.Errorf("%s: %v replied, want %v", subject, got, want)
		}
		return nil
	})
}

// TestLeafnodes_SitesReachEachOther links three sites to each other, in a circle: requests cross one link, and each
// node receives them once and replies once.
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
	if got := atLon.request(t, "mcollective.node.hub1"); len(got) > 0 {
		t.Errorf("a node at the hub replied to %v", got)
	}
	for name, requests := range received {
		got := requests()
		slices.Sort(got)
		if n := len(got); n != len(slices.Compact(got)) || n == 0 {
			t.Errorf("%s received %d requests, some twice: %q", name, n, got)
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
	if got := client.request(t, "mcollective.node.lon1"); len(got) > 0 || len(lonReceived()) > 0 {
		t.Errorf("replied: %v; received: %q", got, lonReceived())
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
	atHub, err := hub.broker.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	defer atHub.Close()
	atLeaf, err := leaf.broker.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	defer atLeaf.Close()
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
