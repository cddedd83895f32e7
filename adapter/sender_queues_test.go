package adapter

import (
	"testing"
	"time"
)

// start is when all messages of these tests are received.
var start = time.Date(2026, 11, 23, 5, 49, 56, 0, time.UTC)

// newTestQueues returns the queues of an adapter with a buffer of so many bytes and without queue_len.
func newTestQueues(buffer int64) (*peerQueues, *senderQueues) {
	p := newPeerQueues(newLedger(buffer, 0), func(*message) {})
	return p, newSenderQueues(&p.turns)
}

// converted returns a message of a peer that a worker has converted.
func converted(p *peerQueues, q *peerQueue, sender string) *message {
	m := &message{held: heldFor(0), raw: []byte{}}
	p.receive(q, m, 0, "")
	p.startNext()
	m.sender, m.out, m.converted = sender, &streamMessage{}, true
	q.arrivals.popConverted()
	return m
}

func TestSenderQueues_PublishOneMessageOfASenderAtATime(t *testing.T) {
	p, s := newTestQueues(1 << 30)
	peer := p.get(peerKey{user: "relay"}, start)
	a1, a2, b1 := converted(p, peer, "a"), converted(p, peer, "a"), converted(p, peer, "b")
	s.push(a1)
	s.push(a2)
	s.push(b1)
	if s.takeReady() != a1 || s.takeReady() != b1 || s.takeReady() != nil {
		t.Fatal("the second message of a sender was ready before the first had its outcome")
	}
	s.acked(a1)
	s.suspend(a1)
	s.resume(a1)
	if s.takeReady() != a1 || s.takeReady() != nil {
		t.Fatal("the second message of a sender was ready while the first was retried")
	}
	s.acked(a1)
	s.advance(a1)
	if s.takeReady() != a2 || s.takeReady() != nil {
		t.Fatal("the second message is not ready after the first had its outcome")
	}
	for _, m := range []*message{a2, b1} {
		s.acked(m)
		s.advance(m)
	}
	if len(s.active) != 0 || peer.queued != 0 || p.turns.ready.used != 0 || peer.unacked != 0 || s.unacked.used != 0 {
		t.Errorf("queues are left: %+v, %+v", s, peer)
	}
}

func TestSenderQueues_SuspendedSenderDoesNotStopThePeer(t *testing.T) {
	p, s := newTestQueues(1 << 30)
	peer := p.get(peerKey{user: "relay"}, start)
	first := converted(p, peer, "a")
	s.push(first)
	if s.takeReady() != first {
		t.Fatal("the first message is not ready")
	}
	s.acked(first)
	s.suspend(first)
	for n := range 10 * maxReady {
		m := &message{held: heldFor(0), raw: []byte{}}
		p.receive(peer, m, 0, "")
		if p.startNext() != m {
			t.Fatalf("a suspended sender stops the conversion of message %d", n)
		}
		m.sender, m.out, m.converted = "a", &streamMessage{}, true
		s.push(peer.arrivals.popConverted())
	}
	s.resume(first)
	p.receive(peer, &message{held: heldFor(0)}, 0, "")
	if p.startNext() != nil {
		t.Error("conversion goes on although many messages wait")
	}
	for m := s.takeReady(); peer.queued > 0; m = s.takeReady() {
		s.acked(m)
		s.advance(m)
	}
	if p.startNext() == nil {
		t.Error("conversion is stopped although no message waits")
	}
}

// TestSenderQueues_APeerDoesNotDelayOthers has a peer fill the queues with many senders, among them the
// one of another peer.
func TestSenderQueues_APeerDoesNotDelayOthers(t *testing.T) {
	p, s := newTestQueues(1 << 30)
	relay, node := p.get(peerKey{user: "relay"}, start), p.get(peerKey{user: "web1"}, start)
	for n := range 2 * maxUnacked {
		m := &message{held: heldFor(0), raw: []byte{}}
		p.receive(relay, m, 0, "")
		if p.startNext() == nil {
			break
		}
		m.sender, m.out, m.converted = []string{"web1", "web2", string(rune(n + 'a'))}[min(n, 2)], &streamMessage{}, true
		s.push(relay.arrivals.popConverted())
		s.takeReady()
	}
	if s.unacked.used < maxUnacked/3 || s.unacked.used > maxUnacked/3+1 {
		t.Errorf("a peer alone has %d unacknowledged messages", s.unacked.used)
	}
	m := converted(p, node, "web1")
	if m == nil {
		t.Fatal("the message of the other peer is not converted")
	}
	s.push(m)
	if s.takeReady() != m {
		t.Error("the message of the other peer is not published next")
	}
}
