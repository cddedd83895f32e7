package broker

import (
	"fmt"
	"slices"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// leafTry is a message that one side publishes and the other side may or may not receive.
type leafTry struct {
	subject           string
	request, response bool // which way: it crosses where requests cross, or where replies cross; neither: never
}

// leafTries have what crosses, and what must not.
var leafTries = []leafTry{
	{"mcollective.broadcast.agent.discovery", true, false},
	{"mcollective.broadcast.service.signer", true, false},
	{"prod.node.web1.example.net", true, false},
	{"mcollective.reply.0123456789abcdef.1.2", false, true},
	{"mcollective.broadcast.agent.registration", false, false},
	{"prod.broadcast.agent.registration", false, false},
	{"choria.registration.web1", false, false},
	{"choria.node_metadata.web1", false, false},
	{"choria.lifecycle.event.startup.server", false, false},
	{"choria.broadcast.agent.rpcutil", false, false},
	{"choria.node.web1", false, false},
	{"choria.reply.x", false, false},
	{"choria.machine.transition", false, false},
	{"choria.streams.STREAM.INFO.X", false, false},
	{"choria.federation.x.federation", false, false},
	{"mcollective.submission.in.x", false, false},
	{"mcollective.governor.x", false, false},
	{"muster.node.x", false, false},
	{"muster.reply.x", false, false},
	{"muster.write.0.x", false, false},
	{"muster.fleet.node.up.web1", false, false},
	{"$KV.node.x", false, false},
	{"$KV.reply.x", false, false},
	{"$KV.CHORIA_LEADER_ELECTION.x", false, false},
	{"$O.reply.C.x", false, false},
	{"$JS.reply.x", false, false},
	{"$JS.API.STREAM.NAMES", false, false},
	{"$JS.API.INFO", false, false},
	{"$JS.ACK.CHORIA_REGISTRATION.x.1.1.1.1.0", false, false},
	{"$JS.EVENT.ADVISORY.API", false, false},
	{"$SYS.node.x", false, false},
	{"$SYS.REQ.USER.INFO", false, false},
	{"$SRV.PING", false, false},
	{"_INBOX.reply.x", false, false},
	{"_INBOX.x.y", false, false},
	{"_R_.reply.x", false, false},
	{"_R_.node.x", false, false},
	{"_R_.broadcast.agent.x", false, false},
	{"_R_.broadcast.agent.registration", false, false},
	{"_R_.x.y", false, false},
	{"other.subject", false, false},
}

// crosses returns which of the subjects cross a link in one direction.
func crosses(requests, replies bool) (subjects []string) {
	for _, try := range leafTries {
		if requests && try.request || replies && try.response {
			subjects = append(subjects, try.subject+" tried")
		}
	}
	slices.Sort(subjects)
	return subjects
}

// crossesToConnections returns what a leaf node can publish to the connections of nodes and clients: what crosses and,
// as if _R_ were a collective, what NATS lets every leaf node publish. Nothing of NATS has a subject of that form:
// after _R_ the subjects of replies to services have a token of six characters.
func crossesToConnections(requests, replies bool) []string {
	subjects := crosses(requests, replies)
	if requests {
		subjects = append(subjects, "_R_.node.x tried", "_R_.broadcast.agent.x tried",
			"_R_.broadcast.agent.registration tried")
	}
	if replies {
		subjects = append(subjects, "_R_.reply.x tried")
	}
	slices.Sort(subjects)
	return subjects
}

// publishTries publishes every subject with a payload. A second subscriber in the account is the witness: it must
// receive all.
func publishTries(t *testing.T, s *site, from *nats.Conn, payload string) {
	t.Helper()
	witness, err := s.broker.Connect("witness")
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	seen := collect(t, witness, ">")
	for _, try := range leafTries {
		if err := from.Publish(try.subject, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	wait.Eventually(t, func() error {
		got := seen()
		for _, try := range leafTries {
			if !slices.Contains(got, try.subject+" "+payload) {
				return fmt.Errorf("the witness has not received %s", try.subject)
			}
		}
		return nil
	})
}

// cross publishes every subject on one side, and returns which arrived at the other side, sorted. from and to may do
// everything at their sides; from is connected to the site. last must be a subject that crosses.
func cross(t *testing.T, s *site, from, to *nats.Conn, last string) []string {
	t.Helper()
	arrived := collect(t, to, ">", "*.reply.>", "*.node.>", "mcollective.broadcast.agent.>")
	wait.Eventually(t, func() error { // the interest has crossed
		if err := from.Publish(last, []byte("first")); err != nil {
			return err
		}
		if !slices.Contains(arrived(), last+" first") {
			return fmt.Errorf("%s does not arrive", last)
		}
		return nil
	})
	publishTries(t, s, from, "tried")
	if err := from.Publish(last, []byte("last")); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		if !slices.Contains(arrived(), last+" last") {
			return fmt.Errorf("%s does not arrive", last)
		}
		return nil
	})
	got := slices.DeleteFunc(arrived(), func(text string) bool { return text[len(text)-5:] != "tried" })
	slices.Sort(got)
	return slices.Compact(got)
}

// TestLeafnodes_CrossOnlyWhatIsAllowed publishes at each side what crosses and what must not, with a subscriber of ">"
// at the other side, for everything that the two sides may allow each other.
func TestLeafnodes_CrossOnlyWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hub, leaf Crossing }{
		{CrossNodes, CrossClients}, {CrossClients, CrossNodes}, {CrossBoth, CrossBoth}, {CrossBoth, CrossClients},
		{CrossNodes, CrossBoth},
	} {
		t.Run(string(c.hub+" "+c.leaf), func(t *testing.T) {
			t.Parallel()
			hub := openAccepting(t, c.hub)
			leaf := openLeaf(t, hub, leafName, c.leaf, nil)
			waitLinked(t, hub, leaf)
			atHub := internalConn(t, hub.broker)
			atLeaf := internalConn(t, leaf.broker)
			down := c.hub.sends() && c.leaf.receives() // requests from the hub to the leaf node
			up := c.hub.receives() && c.leaf.sends()
			const request, reply = "mcollective.node.probe", "mcollective.reply.probe"
			got, want := cross(t, hub, atHub, atLeaf, pick(down, request, reply)), crosses(down, up)
			if !slices.Equal(got, want) {
				t.Errorf("from the hub: %q, want %q", got, want)
			}
			got, want = cross(t, leaf, atLeaf, atHub, pick(up, request, reply)), crosses(up, down)
			if !slices.Equal(got, want) {
				t.Errorf("from the leaf node: %q, want %q", got, want)
			}
		})
	}
}

// pick returns a subject that crosses in a direction.
func pick(requests bool, request, reply string) string {
	if requests {
		return request
	}
	return reply
}
