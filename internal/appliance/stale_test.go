package appliance_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// shortTimes configures a site in which messages of a node may come over other connections, and
// nodes are down as soon as their connection ends.
const shortTimes = "[adapter.registration]\nverify = 'require'\nbind_sender = false\n" +
	"[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = 5\nduplicate_window = '100ms'\n" +
	"[fleet]\ndisconnect_grace = '1s'\n"

// staleSite is a site with a node of protocol 1, whose registrations are signed with a certificate,
// one of protocol 2, whose registrations are signed with a token, and another node that has copies
// of their messages.
type staleSite struct {
	*testing.T
	site     *enroll.Site
	cfg      *appliance.Config
	a        *appliance.Appliance
	nodes    []*simnode.Node
	attacker *simnode.Node
	counted  uint64 // messages that the adapter has received since it was opened
}

func newStaleSite(t *testing.T) *staleSite {
	t.Helper()
	site, text := newSite(t, shortTimes)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &staleSite{T: t, site: site, cfg: testkit.Config(t, text)}
	for i := range 3 {
		n, err := simnode.NewNode(i, simnode.NodeOptions{Site: site, RSA: key})
		if err != nil {
			t.Fatal(err)
		}
		s.nodes = append(s.nodes, n)
	}
	s.attacker, s.nodes = s.nodes[2], s.nodes[:2]
	s.open()
	return s
}

func (s *staleSite) open() {
	s.Helper()
	s.a, s.counted = newAppliance(s.cfg), 0
	if err := s.a.Open(s.Context()); err != nil {
		s.Fatal(err)
	}
	a := s.a
	s.Cleanup(func() { _ = a.Close(context.Background()) })
}

// restart closes the appliance and opens it again.
func (s *staleSite) restart() {
	s.Helper()
	if err := s.a.Close(context.Background()); err != nil {
		s.Fatal(err)
	}
	s.open()
}

// connect opens a connection of a node.
func (s *staleSite) connect(n *simnode.Node) *nats.Conn {
	s.Helper()
	return testkit.Connect(s, s.a, n.Options(n.Identity, s.site.Roots())...)
}

// publish publishes messages over a connection of a node, and waits for their outcome.
func (s *staleSite) publish(over *simnode.Node, messages ...[]byte) {
	s.Helper()
	nc := s.connect(over)
	defer nc.Close()
	for _, raw := range messages {
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			s.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		s.Fatal(err)
	}
	s.counted += uint64(len(messages))
	testkit.Settled(s, s.a, "registration", s.counted)
}

// sign returns registrations of a node, signed at the times after now.
func (s *staleSite) sign(n *simnode.Node, after ...time.Duration) (messages [][]byte) {
	s.Helper()
	now := time.Now()
	for _, d := range after {
		_, raw, err := n.Registration(now.Add(d))
		if err != nil {
			s.Fatal(err)
		}
		messages = append(messages, raw)
	}
	return messages
}

// expect fails unless so many messages were stored and rejected as stale since the last open.
func (s *staleSite) expect(stored, stale, setBack uint64) {
	s.Helper()
	have := s.a.Stats()["registration"]
	if have.Stored != stored || have.Rejected[contract.ReasonStale] != stale || have.SetBack != setBack ||
		have.AllRejected() != stale {
		s.Errorf("stored %d, stale %d, set back %d; want %d, %d, %d: %+v", have.Stored,
			have.Rejected[contract.ReasonStale], have.SetBack, stored, stale, setBack, have)
	}
}

// waitState waits until a node is in the state.
func (s *staleSite) waitState(n *simnode.Node, want string) {
	s.Helper()
	wait.Eventually(s, func() error {
		if have := s.state(n); have != want {
			return fmt.Errorf("%s is %q, want %q", n.Identity, have, want)
		}
		return nil
	})
}

func (s *staleSite) state(n *simnode.Node) string {
	s.Helper()
	var node struct{ State string }
	testkit.GetJSON(s, s.a, "/api/v1/nodes/"+n.Identity, &node)
	return node.State
}

// ids returns the message ids of the stored registrations of a node, in their order.
func (s *staleSite) ids(n *simnode.Node) (ids []string) {
	s.Helper()
	for _, m := range testkit.Messages(s, adminJetStream(s.T, s.a, s.site), contract.StreamRegistration) {
		if m.Headers().Get(contract.HeaderSender) == n.Identity {
			ids = append(ids, m.Headers().Get(contract.HeaderMsgID))
		}
	}
	return ids
}

func TestAppliance_RefusesCopiesOfOldRegistrations(t *testing.T) {
	t.Parallel()
	s := newStaleSite(t)
	copies := map[*simnode.Node][][]byte{}
	stored := map[*simnode.Node]string{}
	for _, n := range s.nodes {
		copies[n] = s.sign(n, -25*time.Minute, -20*time.Minute, -15*time.Minute, -10*time.Minute, -5*time.Minute, 0)
		s.publish(n, copies[n]...)
	}
	s.expect(12, 0, 0)
	for _, n := range s.nodes {
		s.waitState(n, "down")
		stored[n] = strings.Join(s.ids(n), " ")
	}
	check := func(stale uint64) {
		t.Helper()
		for _, n := range s.nodes {
			s.publish(s.attacker, copies[n]...)
			if have := strings.Join(s.ids(n), " "); have != stored[n] {
				t.Errorf("%s: %s are stored, expected %s", n.Identity, have, stored[n])
			}
			if state := s.state(n); state != "down" {
				t.Errorf("%s is %s", n.Identity, state)
			}
		}
		if have := s.a.Stats()["registration"]; have.Rejected[contract.ReasonStale] != stale || have.Duplicate != 0 {
			t.Errorf("%d of %d are rejected as stale: %+v", have.Rejected[contract.ReasonStale], stale, have)
		}
	}
	check(12)
	check(24)
	s.restart()
	check(12)
	for _, n := range s.nodes { // it comes back
		s.publish(n, s.sign(n, 0)...)
	}
	s.expect(2, 12, 0)
}

func TestAppliance_AcceptsNodesWithWrongClocks(t *testing.T) {
	t.Parallel()
	for name, times := range map[string][]time.Duration{
		"an hour ahead, then right":     {-5 * time.Minute, time.Hour, time.Hour + 5*time.Minute, 0},
		"right, then an hour behind":    {-5 * time.Minute, 0, -time.Hour, -55 * time.Minute},
		"ahead, behind, and then right": {time.Hour, -time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStaleSite(t)
			var copies [][]byte
			for _, n := range s.nodes {
				messages := s.sign(n, times...)
				s.connect(n) // stays open
				s.publish(n, messages...)
				if ids := s.ids(n); len(ids) != len(times) {
					t.Errorf("%s: stored %v: %+v", n.Identity, ids, s.a.Stats()["registration"])
				}
				s.waitState(n, "up")
				copies = append(copies, messages...)
			}
			s.publish(s.attacker, copies...)
			if have := s.a.Stats()["registration"]; have.Rejected[contract.ReasonStale] != uint64(len(copies)) {
				t.Errorf("not all of %d copies are rejected as stale: %+v", len(copies), have)
			}
			s.restart()
			s.publish(s.attacker, copies...)
			s.expect(0, uint64(len(copies)), 0)
			for _, n := range s.nodes {
				s.publish(n, s.sign(n, times[len(times)-1]+time.Minute)...)
			}
			if have := s.a.Stats()["registration"]; have.Stored != uint64(len(s.nodes)) {
				t.Errorf("after a restart: %+v", have)
			}
		})
	}
}
