package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

func TestBroker_RestoresDamagedConfigurationsWhenTheStoreIsReopened(t *testing.T) {
	var recorded []integrity.Stream
	var noticed []string
	reopened := 0
	o := testOptions(t)
	o.Recorded = func() []integrity.Stream { return recorded }
	o.Noticed = func(f integrity.Finding) { noticed = append(noticed, f.Code+" "+f.Subject()) }
	o.Reopened = func() { reopened++ }
	b := newBroker(t, DefaultConfig(), o)
	open(t, b)
	blockStream(t, b, jetstream.StreamConfig{}, 10)
	js := jetStreamOf(t, b)
	for _, name := range []string{"C", "D"} {
		cfg := jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy}
		if _, err := js.CreateConsumer(t.Context(), "S", cfg); err != nil {
			t.Fatal(err)
		}
	}
	recorded, _ = b.Streams()
	if len(recorded) != 1 || len(recorded[0].Consumers) != 2 || recorded[0].Meta == "" || recorded[0].Messages != 10 {
		t.Fatalf("have %+v", recorded)
	}
	damage := func(path, content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage(filepath.Join(b.streamDir("S"), server.JetStreamMetaFile), "{}")
	damage(filepath.Join(b.consumerDir("S", "C"), server.JetStreamMetaFileSum), "x")
	if err := b.reopen(func() error { // the server writes the state of a consumer when it closes
		damage(filepath.Join(b.consumerDir("S", "D"), consumerState), "x")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := "[stream-restored S consumer-restored S/C consumer-restored S/D]"; fmt.Sprint(noticed) != want {
		t.Errorf("noticed %v", noticed)
	}
	again, ok := b.Streams()
	if !ok || fmt.Sprint(again) != fmt.Sprint(recorded) {
		t.Errorf("have %+v\nwant %+v", again, recorded)
	}
	if _, err := os.Stat(filepath.Join(b.streamDir("S"), server.JetStreamMetaFile+damagedSuffix)); err != nil {
		t.Errorf("the damaged file is gone: %v", err)
	}
	if err := b.reopenStore(); err != nil || reopened != 1 || len(noticed) != 3 {
		t.Errorf("%v, told %d times, noticed %v", err, reopened, noticed)
	}
	// Without a record the server can write the file anew once the stream is created again.
	recorded = nil
	damage(filepath.Join(b.streamDir("S"), server.JetStreamMetaFile), "{}")
	if err := b.reopenStore(); err != nil || len(noticed) != 4 {
		t.Fatalf("%v, noticed %v", err, noticed)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if streams, _ := b.Streams(); len(streams) != 1 || streams[0].Messages != 10 || streams[0].Meta == "" {
		t.Errorf("have %+v", streams)
	}
}

func TestBroker_RestoresNothingThatWasDeleted(t *testing.T) {
	var recorded []integrity.Stream
	o := testOptions(t)
	o.Recorded = func() []integrity.Stream { return recorded }
	o.Noticed = func(f integrity.Finding) { t.Errorf("noticed %+v", f) }
	b := newBroker(t, DefaultConfig(), o)
	open(t, b)
	blockStream(t, b, jetstream.StreamConfig{}, 10)
	recorded, _ = b.Streams()
	if err := errors.Join(jetStreamOf(t, b).DeleteStream(t.Context(), "S"), b.reopenStore()); err != nil {
		t.Fatal(err)
	}
	if streams, ok := b.Streams(); !ok || len(streams) != 0 {
		t.Errorf("have %+v", streams)
	}
}

func TestValidConsumerState(t *testing.T) {
	for name, test := range map[string]struct {
		content []byte
		valid   bool
	}{
		"empty":            {nil, false},
		"other magic":      {[]byte{21, 2, 1, 1, 1, 1, 0}, false},
		"other version":    {[]byte{22, 3, 1, 1, 1, 1, 0}, false},
		"nothing pending":  {[]byte{22, 2, 1, 1, 1, 1, 0}, true},
		"short":            {[]byte{22, 2, 1, 1, 1}, false},
		"open number":      {[]byte{22, 2, 1, 1, 1, 0x80}, false},
		"one pending":      {[]byte{22, 2, 1, 1, 2, 2, 1, 9, 1, 1, 1, 0}, true},
		"pending cut":      {[]byte{22, 2, 1, 1, 2, 2, 1, 9, 1}, false},
		"too many pending": {[]byte{22, 2, 1, 1, 2, 2, 0xff, 0xff, 0xff, 0xff, 0x0f}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if validConsumerState(test.content) != test.valid {
				t.Errorf("valid is %v", !test.valid)
			}
		})
	}
}

func TestBroker_SyncAlways(t *testing.T) {
	js := DefaultJetStream()
	js.SyncInterval = 0
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	b := New(cfg, js, testOptions(t))
	t.Cleanup(func() { _ = b.Close(t.Context()) })
	open(t, b)
	for range 2 { // also once the store was reopened
		if c := b.srv.JetStreamConfig(); !c.SyncAlways {
			t.Errorf("have %+v", c)
		}
		if err := b.reopenStore(); err != nil {
			t.Fatal(err)
		}
	}
}
