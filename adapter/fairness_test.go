package adapter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// peer is a connection that publishes registrations of its senders to an adapter.
type peer struct {
	t         *testing.T
	appliance *appliance.Appliance
	adapter   string
	subject   string
	nc        *nats.Conn
	name      string
	senders   int
	keys      []string // of the published messages
}

func newPeer(t *testing.T, a *appliance.Appliance, adapter, subject, name string, senders int) *peer {
	t.Helper()
	return &peer{
		t: t, appliance: a, adapter: adapter, subject: subject,
		nc: testkit.Connect(t, a, nats.Name(name)), name: name, senders: senders,
	}
}

// publish builds messages, publishes them as fast as possible, and returns when the adapter has
// received them. Nothing else is published to the adapter meanwhile.
func (p *peer) publish(messages int) {
	p.t.Helper()
	raw := make([][]byte, messages)
	for i := range raw {
		n, key := len(p.keys), ""
		key, raw[i] = testkit.Registration(p.t, fmt.Sprintf("%s%d", p.name, n%p.senders), n, 10)
		p.keys = append(p.keys, key)
	}
	received := p.appliance.Stats()[p.adapter].Received + uint64(messages)
	for _, m := range raw {
		if err := p.nc.Publish(p.subject, m); err != nil {
			p.t.Fatal(err)
		}
	}
	wait.Eventually(p.t, func() error {
		if s := p.appliance.Stats()[p.adapter]; s.Received != received {
			return fmt.Errorf("%d of %d received", s.Received, received)
		}
		return nil
	})
}

// stored returns how many of the peer's messages are among the keys.
func (p *peer) stored(keys map[string]bool) int {
	n := 0
	for _, key := range p.keys {
		if keys[key] {
			n++
		}
	}
	return n
}

// slowStream stands in for a stream, and acknowledges a message when the test reads it.
type slowStream struct{ sub *nats.Subscription }

// next reads a message and returns its sender.
func (s slowStream) next(limit time.Duration) (sender string, err error) {
	m, err := s.sub.NextMsg(limit)
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(m.Subject, "slow."), m.Respond([]byte(`{"stream":"SLOW","seq":1}`))
}

// messagesBefore reads up to a message of this sender, and returns the number of those before it.
func (s slowStream) messagesBefore(t *testing.T, wanted string) (n uint64) {
	t.Helper()
	for {
		switch sender, err := s.next(wait.Limit); {
		case err != nil:
			t.Fatalf("after %d messages: %v", n, err)
		case sender == wanted:
			return n
		}
		n++
	}
}

// TestAdapter_AFloodDelaysNoOthers publishes single messages while thousands of a flood wait for acks,
// and counts the messages of the flood that the stream gets before each of them.
func TestAdapter_AFloodDelaysNoOthers(t *testing.T) {
	for name, test := range map[string]struct {
		messages, senders int
		part              uint64 // of the messages that wait; fewer may come before
	}{
		"one sender":   {2000, 1, 50},
		"many senders": {4000, 4000, 4}, // a third of 1024 messages are published already
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := testkit.Appliance(t, "[adapter.slow]\n"+
				"ingest = {topic = 'burst', protocol = 'request'}\nstream = {topic = 'slow.%s'}\n")
			nc := testkit.Connect(t, a)
			sub, err := nc.SubscribeSync("slow.>")
			if err != nil || nc.Flush() != nil {
				t.Fatal(err)
			}
			stream := slowStream{sub}
			flood := newPeer(t, a, "slow", "burst", "flood", test.senders)
			other := newPeer(t, a, "slow", "burst", "web", 1)
			flood.publish(test.messages)
			for range 5 {
				waiting := a.Stats()["slow"].Pending
				other.publish(1)
				before := stream.messagesBefore(t, "web0")
				if waiting < uint64(test.messages/2) || before > waiting/test.part {
					t.Errorf("of %d messages of a flood, %d were published before that of another peer", waiting, before)
				}
			}
			for a.Stats()["slow"].Pending > 0 {
				_, _ = stream.next(10 * time.Millisecond) // the adapter may wait for no ack any more
			}
		})
	}
}

// lateAdapter configures an adapter with a small buffer, whose messages wait for the stream LATE.
const lateAdapter = `
[adapter.late]
buffer = "1MiB"
ingest = {topic = "late", protocol = "request"}
stream = {topic = "stored.%s"}
`

// storeLate makes the stream LATE and returns the keys of the messages that it stores.
func storeLate(t *testing.T, a *appliance.Appliance) map[string]bool {
	t.Helper()
	js := testkit.JetStream(t, a)
	if _, err := js.CreateStream(t.Context(), streamConfig("LATE", "stored.>")); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "late", 0)
	return testkit.Keys(t, js, "LATE")
}

func TestAdapter_AFloodLosesNoMessagesOfOthers(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, lateAdapter)
	other := newPeer(t, a, "late", "late", "web", 20)
	flood := newPeer(t, a, "late", "late", "flood", 100)
	for range 10 {
		other.publish(10)
		flood.publish(150)
	}
	keys := storeLate(t, a)
	s, stored := a.Stats()["late"], flood.stored(keys)
	if other.stored(keys) != len(other.keys) || stored < 200 || stored > 400 {
		t.Errorf("%d of %d messages, and %d of the flood, are stored", other.stored(keys), len(other.keys), stored)
	}
	if lost := uint64(len(flood.keys) - stored); s.Dropped[contract.ReasonFlood] != lost || s.AllDropped() != lost {
		t.Errorf("the flood lost %d messages: %+v", lost, s)
	}
	wait.Eventually(t, func() error {
		var answer console.Rejected
		testkit.GetJSON(t, a, "/api/v1/rejected", &answer)
		if len(answer.Entries) != 1 {
			return fmt.Errorf("%+v", answer)
		}
		e := answer.Entries[0]
		if !strings.HasPrefix(e.Name, "flood") || !strings.HasPrefix(e.Detail, "connection flood held ") ||
			e.Reason != contract.ReasonFlood || e.By != "adapter late" || e.Count != s.Dropped[contract.ReasonFlood] {
			return fmt.Errorf("%+v", e)
		}
		return nil
	})
}

func TestAdapter_TwoFloodsShareTheBuffer(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, lateAdapter)
	first := newPeer(t, a, "late", "late", "first", 100)
	second := newPeer(t, a, "late", "late", "second", 100)
	other := newPeer(t, a, "late", "late", "web", 20)
	first.publish(1000) // fills the buffer
	second.publish(1000)
	other.publish(100)
	keys := storeLate(t, a)
	more, less := first.stored(keys), second.stored(keys)
	if more < less {
		more, less = less, more
	}
	if more+less < 200 || 2*more > 3*less {
		t.Errorf("of the floods, %d and %d messages are stored", more, less)
	}
	if n := other.stored(keys); n != len(other.keys) {
		t.Errorf("of the other peer, %d of %d messages are stored", n, len(other.keys))
	}
}
