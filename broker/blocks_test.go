package broker

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// blockStream creates a stream with n messages of 1 KB and returns the directory of its blocks.
func blockStream(t *testing.T, b *Broker, cfg jetstream.StreamConfig, n int) string {
	t.Helper()
	js := jetStreamOf(t, b)
	cfg.Name, cfg.Subjects = "S", []string{"s"}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	publishN(t, js, n)
	return filepath.Join(b.streamDir("S"), blocksDir)
}

func publishN(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	for range n {
		if _, err := js.Publish(t.Context(), "s", make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
}

func damagedIn(t *testing.T, b *Broker) string {
	t.Helper()
	found, err := b.DamagedMessages(t.Context(), "S", func(context.Context, int) {})
	if err != nil {
		t.Fatal(err)
	}
	return found.String()
}

func TestBroker_DamagedMessages(t *testing.T) {
	for name, cfg := range map[string]jetstream.StreamConfig{
		"several blocks": {MaxBytes: 120 << 10},
		"compressed":     {MaxBytes: 120 << 10, Compression: jetstream.S2Compression},
	} {
		t.Run(name, func(t *testing.T) {
			b := openBroker(t)
			dir := blockStream(t, b, cfg, 100)
			js := jetStreamOf(t, b)
			s, err := js.Stream(t.Context(), "S")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.DeleteMsg(t.Context(), 40); err != nil { // leaves a tombstone
				t.Fatal(err)
			}
			if err := s.SecureDeleteMsg(t.Context(), 42); err != nil { // overwrites the message
				t.Fatal(err)
			}
			if found := damagedIn(t, b); found != "" {
				t.Fatalf("%s of an intact stream", found)
			}
			last := filepath.Join(dir, "4.blk") // the last block is not compressed
			for at, want := range map[int]string{500: "94", 0: "94", 1200: "95"} {
				content, err := os.ReadFile(last)
				if err != nil {
					t.Fatal(err)
				}
				content[at] ^= 1
				if err := os.WriteFile(last, content, 0o600); err != nil {
					t.Fatal(err)
				}
				if found := damagedIn(t, b); found != want {
					t.Errorf("byte %d: have %q, want %q", at, found, want)
				}
				content[at] ^= 1
				if err := os.WriteFile(last, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "2.blk"), []byte("nonsense"), 0o600); err != nil {
				t.Fatal(err)
			}
			if found := damagedIn(t, b); found != "32-62" {
				t.Errorf("a damaged block: have %q", found)
			}
		})
	}
}

func TestBroker_SkipToKeepsMessagesAndConsumers(t *testing.T) {
	b := openBroker(t)
	blockStream(t, b, jetstream.StreamConfig{}, 10)
	js := jetStreamOf(t, b)
	consumer, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{
		Durable: "C", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	for round, last := range []uint64{100, 5_000_000} {
		if err := b.SkipTo(map[string]Position{"S": {Last: last, Time: time.Now()}}); err != nil {
			t.Fatal(err)
		}
		publishN(t, js, 5)
		s, err := js.Stream(t.Context(), "S")
		if err != nil {
			t.Fatal(err)
		}
		state := s.CachedInfo().State
		if state.FirstSeq != 1 || state.LastSeq != last+5 || state.Msgs != uint64(15+5*round) {
			t.Errorf("have %+v", state)
		}
	}
	// The same after a restart of the store that reads all blocks.
	index := filepath.Join(b.streamDir("S"), blocksDir, indexFile)
	if err := b.reopen(func() error { return os.Remove(index) }); err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(20)
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for m := range batch.Messages() {
		_ = m.Ack()
		read++
	}
	if read != 20 {
		t.Errorf("the consumer read %d of 20 messages", read)
	}
}

func TestBroker_SkipToAnEmptyStream(t *testing.T) {
	b := openBroker(t)
	blockStream(t, b, jetstream.StreamConfig{}, 0)
	if err := b.SkipTo(map[string]Position{"S": {Last: 100}}); err != nil {
		t.Fatal(err)
	}
	ack, err := jetStreamOf(t, b).Publish(t.Context(), "s", nil)
	if err != nil || ack.Sequence != 101 {
		t.Errorf("%+v %v", ack, err)
	}
}

func TestBroker_ReportsNoFaultWhileItReopensTheStore(t *testing.T) {
	b := openBroker(t)
	inspected := false
	err := b.reopen(func() error {
		problems, ok := b.inspectStore()
		inspected = len(problems) > 0 // the store is closed
		if ok {
			t.Errorf("%+v are problems", problems)
		}
		return nil
	})
	if err != nil || !inspected {
		t.Errorf("%v, the store was closed: %v", err, inspected)
	}
	if problems, ok := b.inspectStore(); !ok || len(problems) > 0 {
		t.Errorf("after reopening: %+v, %v", problems, ok)
	}
}
