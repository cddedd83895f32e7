package adapter

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestWhatIsUnansweredWhenTheLineEndsIsStoredOnce(t *testing.T) {
	a, b := openWith(t, DefaultConfig(), 64<<20)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"choria.node_metadata.>"}})
	if err != nil {
		t.Fatal(err)
	}
	const rounds, messages = 5, 200
	deadline := time.Now().Add(time.Minute)
	for round := range rounds {
		publish(t, b, messages, []byte("{}"), false)
		a.local.carrier.(*line).current.Load().Close()
		for a.Stats().Stored+a.Stats().Duplicate < uint64(messages*(round+1)) || a.links.reconnections.Load() <= uint64(round) {
			if time.Now().After(deadline) {
				t.Fatalf("%+v", a.Stats())
			}
			time.Sleep(time.Millisecond)
		}
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Each round's messages have the ids of the first round's.
	if stats := a.Stats(); info.State.Msgs != messages || !stats.Balanced() || stats.Pending != 0 || a.links.reconnections.Load() != rounds {
		t.Errorf("the stream has %d messages, %d reconnections: %+v", info.State.Msgs, a.links.reconnections.Load(), stats)
	}
}
