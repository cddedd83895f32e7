package jsconfig_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/jsconfig"
	"github.com/nats-io/nats.go/jetstream"
)

func openJetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	cfg := broker.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	b := broker.New(cfg, broker.DefaultJetStream(), broker.Options{Name: "js.test", Store: t.TempDir(), Verifier: choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{})), Now: time.Now, Log: hclog.NewNullLogger()})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// apply plans and applies what is declared and tells how many changes there were.
func apply(t *testing.T, js jetstream.JetStream, cfg jsconfig.Config, deleteMessages bool) []jsconfig.Outcome {
	t.Helper()
	outcomes, err := jsconfig.Reconcile(t.Context(), js, cfg.StreamConfigs(), time.Now(), deleteMessages)
	if err != nil {
		t.Fatal(err)
	}
	return outcomes
}

func TestApplyMakesWhatIsDeclaredAndThenNothing(t *testing.T) {
	js := openJetStream(t)
	cfg := jsconfig.DefaultConfig()
	for _, o := range apply(t, js, cfg, false) {
		if o.Err != nil || o.Change.Action != jsconfig.Create {
			t.Errorf("%s: %v", o.Change, o.Err)
		}
	}
	if again := apply(t, js, cfg, false); len(again) != 0 {
		t.Errorf("the server reports something else than was made: %v", again)
	}
	kv, err := js.KeyValue(t.Context(), "CHORIA_LEADER_ELECTION")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), "leader", []byte("me")); err != nil {
		t.Errorf("the bucket is no bucket: %v", err)
	}
	if v, err := kv.Get(t.Context(), "leader"); err != nil || string(v.Value()) != "me" {
		t.Errorf("have %v, %v", v, err)
	}
}

func TestApplyUpdatesAndDeletesOnlyWhenAsked(t *testing.T) {
	js := openJetStream(t)
	ctx := t.Context()
	cfg := jsconfig.DefaultConfig()
	cfg.Streams["A"] = jsconfig.NewStream("A")
	cfg.Streams["A"].Subjects = []string{"a"}
	apply(t, js, cfg, false)
	for range 10 {
		if _, err := js.Publish(ctx, "a", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	messages := func() uint64 {
		s, err := js.Stream(ctx, "A")
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.Msgs
	}

	cfg.Streams["A"].Description = "updated"
	if o := apply(t, js, cfg, false); len(o) != 1 || o[0].Err != nil || messages() != 10 {
		t.Errorf("update: %v, %d messages", o, messages())
	}
	for name, edit := range map[string]func(*jsconfig.Stream){
		"limit":   func(s *jsconfig.Stream) { s.MaxMsgs = 3 },
		"storage": func(s *jsconfig.Stream) { s.Storage = "memory" },
	} {
		changed := *cfg.Streams["A"]
		edit(&changed)
		declared := jsconfig.Config{Streams: map[string]*jsconfig.Stream{"A": &changed}}
		if o := apply(t, js, declared, false); len(o) != 1 || !errors.Is(o[0].Err, jsconfig.ErrDeletesMessages) || messages() != 10 {
			t.Errorf("%s without being asked: %v, %d messages", name, o, messages())
		}
	}
	cfg.Streams["A"].MaxMsgs = 3
	if o := apply(t, js, cfg, true); len(o) != 1 || o[0].Err != nil || messages() != 3 {
		t.Errorf("shrink: %v, %d messages", o, messages())
	}
	cfg.Streams["A"].Storage = "memory"
	if o := apply(t, js, cfg, true); len(o) != 1 || o[0].Err != nil || messages() != 0 {
		t.Errorf("recreate: %v, %d messages", o, messages())
	}
	if o := apply(t, js, cfg, false); len(o) != 0 {
		t.Errorf("something is left to do: %v", o)
	}
}

func TestARefusedChangeKeepsNoOtherFromBeingMade(t *testing.T) {
	js := openJetStream(t)
	cfg := jsconfig.Config{Streams: map[string]*jsconfig.Stream{"A": jsconfig.NewStream("A"), "B": jsconfig.NewStream("B")}}
	cfg.Streams["A"].Subjects = []string{"$JS.API.>"} // the server keeps these to itself
	cfg.Streams["B"].Subjects = []string{"b"}
	outcomes := apply(t, js, cfg, false)
	if len(outcomes) != 2 || outcomes[0].Err == nil || outcomes[1].Err != nil {
		t.Errorf("have %v", outcomes)
	}
}

func TestAStreamThatCannotBeRecreatedIsThereAgain(t *testing.T) {
	js := openJetStream(t)
	cfg := jsconfig.Config{Streams: map[string]*jsconfig.Stream{"A": jsconfig.NewStream("A")}}
	cfg.Streams["A"].Subjects = []string{"a"}
	apply(t, js, cfg, false)
	cfg.Streams["A"].Storage = "memory"
	cfg.Streams["A"].MaxBytes = 1 << 40 // more than the server has
	outcomes := apply(t, js, cfg, true)
	if len(outcomes) != 1 || outcomes[0].Err == nil {
		t.Fatalf("have %v", outcomes)
	}
	if s, err := js.Stream(t.Context(), "A"); err != nil || s.CachedInfo().Config.Storage != jetstream.FileStorage {
		t.Errorf("the stream is gone: %v", err)
	}
}
