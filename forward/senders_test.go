package forward

import (
	"slices"
	"testing"
)

// takeAll returns the sequences of the messages that are ready.
func takeAll(s *senders) (sequences []uint64, messages []*message) {
	for m := s.peek(); m != nil; m = s.peek() {
		s.take()
		sequences, messages = append(sequences, m.sequence), append(messages, m)
	}
	return sequences, messages
}

func TestSenders_KeepTheOrderOfEachSender(t *testing.T) {
	s := newSenders()
	for i, sender := range []string{"a", "b", "a", "a", "c"} {
		s.push(&message{sequence: uint64(i), sender: sender, subject: sender})
	}
	first, ready := takeAll(s)
	if !slices.Equal(first, []uint64{0, 1, 4}) {
		t.Fatalf("have %v", first)
	}
	s.advance(ready[1])
	s.advance(ready[0])
	if next, _ := takeAll(s); !slices.Equal(next, []uint64{2}) {
		t.Errorf("have %v", next)
	}
	if s.active["b"] != nil {
		t.Error("a sender without messages is kept")
	}
}

func TestSenders_SupersedeLeavesTheFirstMessage(t *testing.T) {
	s := newSenders()
	for i, subject := range []string{"x", "x", "y", "x"} {
		s.push(&message{sequence: uint64(i), sender: "a", subject: subject})
	}
	removed := s.supersede(&message{sequence: 9, sender: "a", subject: "x"})
	if len(removed) != 2 || removed[0].sequence != 1 || removed[1].sequence != 3 {
		t.Fatalf("have %v", removed)
	}
	_, ready := takeAll(s)
	s.advance(ready[0])
	if next, _ := takeAll(s); !slices.Equal(next, []uint64{2}) {
		t.Errorf("have %v", next)
	}
}

func TestSenders_ReadyDoesNotGrow(t *testing.T) {
	s := newSenders()
	s.push(&message{sender: "first"})
	for range 100_000 {
		m := &message{sender: "a"}
		s.push(m)
		taken := s.peek()
		s.take()
		s.advance(taken)
	}
	if cap(s.ready) > 8192 {
		t.Errorf("room for %d messages", cap(s.ready))
	}
}
