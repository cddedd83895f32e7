package broker

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// choriaProtocols are the directories of the captures of each protocol.
var choriaProtocols = []string{"v1-mtls", "v2-issuer"}

// transport is the outermost part of a message of Choria, as far as its receiver needs it.
type transport struct {
	Headers struct {
		ReplyV1  string `json:"reply-to"`
		ReplyV2  string `json:"reply"`
		SenderV1 string `json:"mc_sender"`
		SenderV2 string `json:"sender"`
	} `json:"headers"`
}

// readTransport returns the reply subject and the sender of a message.
func readTransport(t *testing.T, raw []byte) (reply, sender string) {
	t.Helper()
	var m transport
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Errorf("not a message of Choria: %q: %v", raw, err)
	}
	return cmp.Or(m.Headers.ReplyV1, m.Headers.ReplyV2), cmp.Or(m.Headers.SenderV1, m.Headers.SenderV2)
}

// capturedRPC returns a captured message of a protocol; in its transport headers, which are not signed, one text is
// replaced.
func capturedRPC(t *testing.T, protocol, kind, replaced, by string) []byte {
	t.Helper()
	raw, err := os.ReadFile("../internal/choria/testdata/" + protocol + "/rpc-" + kind + ".transport.json")
	if err != nil {
		t.Fatal(err)
	}
	if replaced == "" {
		replaced, _ = readTransport(t, raw)
	}
	if !bytes.Contains(raw, []byte(replaced)) {
		t.Fatalf("%q is not in the capture of %s", replaced, kind)
	}
	return bytes.ReplaceAll(raw, []byte(replaced), []byte(by))
}

// startNode connects a node with its certificate to a site until the test ends. It subscribes as Choria's servers do,
// and replies to each request at the subject in its transport. received has the reply subjects of the requests; the
// test fails if the node receives one twice.
func (s *site) startNode(t *testing.T, name string) (received func() []string) {
	t.Helper()
	nc := s.peer(t, s.certificate(name)).nc
	replies := [][]byte{}
	for _, protocol := range choriaProtocols {
		replies = append(replies, capturedRPC(t, protocol, "direct-reply", "node1.example.net", name))
	}
	seen := map[string]bool{}
	return collectTexts(t, nc, func(m *nats.Msg) string {
		to, _ := readTransport(t, m.Data)
		if seen[to] {
			t.Errorf("%s has received the request for %s twice", name, to)
		}
		seen[to] = true
		reply := replies[0]
		if bytes.Contains(m.Data, []byte("io.choria.protocol.v2.transport")) {
			reply = replies[1]
		}
		_ = nc.Publish(to, reply)
		return to
	}, "mcollective.broadcast.agent.discovery", "mcollective.node."+name)
}

// siteClient is a client of Choria at a site.
type siteClient struct {
	nc    *nats.Conn
	inbox string
	sub   *nats.Subscription

	requests int                 // that were sent, of all protocols
	replied  map[string][]string // the senders of the replies, by the reply subject of the request
}

// choriaClient connects a client with its certificate to a site until the test ends. The test fails if a node replies
// twice to any of its requests, or at a subject of none.
func (s *site) choriaClient(t *testing.T, name string) *siteClient {
	t.Helper()
	c := &siteClient{nc: s.peer(t, s.certificate(name)).nc, replied: map[string][]string{}}
	c.inbox = fmt.Sprintf("mcollective.reply.%.16x", sha256.Sum256([]byte(name))) // as long as the client lives
	var err error
	if c.sub, err = c.nc.SubscribeSync(c.inbox + ".*"); err != nil {
		t.Fatal(err)
	}
	if err := c.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.read(t, 100*time.Millisecond) }) // what arrives late
	return c
}

// read reads replies until none arrives for a time.
func (c *siteClient) read(t *testing.T, quiet time.Duration) {
	t.Helper()
	for {
		m, err := c.sub.NextMsg(quiet)
		if err != nil {
			return
		}
		_, sender := readTransport(t, m.Data)
		if nodes, ok := c.replied[m.Subject]; !ok || slices.Contains(nodes, sender) {
			t.Errorf("%s has replied at %s once too often; replied have %v", sender, m.Subject, nodes)
		}
		c.replied[m.Subject] = append(c.replied[m.Subject], sender)
	}
}

// request sends a request to a subject in each protocol, in the bytes of a captured one, and returns which nodes
// replied to each within a moment, sorted.
func (c *siteClient) request(t *testing.T, subject string) (nodes [2][]string) {
	t.Helper()
	var inboxes [2]string
	for i, protocol := range choriaProtocols {
		c.requests++
		inboxes[i] = fmt.Sprintf("%s.%032x", c.inbox, c.requests)
		c.replied[inboxes[i]] = nil
		if err := c.nc.Publish(subject, capturedRPC(t, protocol, "broadcast-request", "", inboxes[i])); err != nil {
			t.Fatal(err)
		}
	}
	c.read(t, 300*time.Millisecond)
	for i, inbox := range inboxes {
		nodes[i] = slices.Sorted(slices.Values(c.replied[inbox]))
	}
	return nodes
}

// reaches repeats a request until these nodes reply in each protocol.
func (c *siteClient) reaches(t *testing.T, subject string, want ...string) {
	t.Helper()
	wait.Eventually(t, func() error { // interest may still be on its way
		for _, got := range c.request(t, subject) {
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s: %v replied, want %v", subject, got, want)
			}
		}
		return nil
	})
}

// reachesNone requires that no node replies to a request.
func (c *siteClient) reachesNone(t *testing.T, subject string) {
	t.Helper()
	for _, got := range c.request(t, subject) {
		if len(got) > 0 {
			t.Errorf("%s: %v replied", subject, got)
		}
	}
}
