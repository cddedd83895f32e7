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
	b := broker.New(cfg, broker.DefaultJetStream(), broker.Options{
		Name:     "js.test",
		StoreDir: t.TempDir(),
		Verifier: choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{})),
		Now:      time.Now,
		Log:      hclog.NewNullLogger(),
	})
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

// reconcile makes the streams as declared and returns the result of each change.
func reconcile(t *testing.T, js jetstream.JetStream, cfg jsconfig.Config, deleteMessages bool) []jsconfig.Result {
	t.Helper()
	results, err := jsconfig.Reconcile(t.Context(), js, cfg.StreamConfigs(), time.Now(), deleteMessages)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestReconcile_CreatesTheDefaultsOnce(t *testing.T) {
	js := openJetStream(t)
	cfg := jsconfig.DefaultConfig()
	for _, r := range reconcile(t, js, cfg, false) {
		if r.Err != nil || r.Change.Action != jsconfig.Create {
			t.Errorf("%s: %v", r.Change, r.Err)
		}
	}
	if again := reconcile(t, js, cfg, false); len(again) != 0 {
		t.Errorf("the server reports other streams than were created: %v", again)
	}
	kv, err := js.KeyValue(t.Context(), "CHORIA_LEADER_ELECTION")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), "leader", []byte("me")); err != nil {
		t.Errorf("write to the bucket: %v", err)
	}
	if v, err := kv.Get(t.Context(), "leader"); err != nil || string(v.Value()) != "me" {
		t.Errorf("read from the bucket: have %v, %v", v, err)
	}
}

// stream is a declared stream A on a server of its own, with ten messages.
type stream struct {
	*jsconfig.Stream
	t  *testing.T
	js jetstream.JetStream
}

func newStream(t *testing.T) stream {
	t.Helper()
	s := stream{jsconfig.NewStream("A"), t, openJetStream(t)}
	s.Subjects = []string{"a"}
	s.reconcile(false)
	for range 10 {
		if _, err := s.js.Publish(t.Context(), "a", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s stream) reconcile(deleteMessages bool) []jsconfig.Result {
	s.t.Helper()
	cfg := jsconfig.Config{Streams: map[string]*jsconfig.Stream{"A": s.Stream}}
	return reconcile(s.t, s.js, cfg, deleteMessages)
}

// messages returns the number of stored messages.
func (s stream) messages() uint64 {
	s.t.Helper()
	info, err := s.js.Stream(s.t.Context(), "A")
	if err != nil {
		s.t.Fatal(err)
	}
	return info.CachedInfo().State.Msgs
}

func TestReconcile_Updates(t *testing.T) {
	s := newStream(t)
	s.Description = "updated"
	if r := s.reconcile(false); len(r) != 1 || r[0].Err != nil || s.messages() != 10 {
		t.Errorf("%v, %d messages", r, s.messages())
	}
}

func TestReconcile_DeletesNoMessagesUnlessAllowed(t *testing.T) {
	for name, edit := range map[string]func(*jsconfig.Stream){
		"shrink":   func(s *jsconfig.Stream) { s.MaxMsgs = 3 },
		"recreate": func(s *jsconfig.Stream) { s.Storage = "memory" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStream(t)
			edit(s.Stream)
			r := s.reconcile(false)
			if len(r) != 1 || !errors.Is(r[0].Err, jsconfig.ErrDeletesMessages) || s.messages() != 10 {
				t.Errorf("%v, %d messages", r, s.messages())
			}
		})
	}
}

func TestReconcile_DeletesMessagesIfAllowed(t *testing.T) {
	s := newStream(t)
	s.MaxMsgs = 3
	if r := s.reconcile(true); len(r) != 1 || r[0].Err != nil || s.messages() != 3 {
		t.Errorf("shrink: %v, %d messages", r, s.messages())
	}
	s.Storage = "memory"
	if r := s.reconcile(true); len(r) != 1 || r[0].Err != nil || s.messages() != 0 {
		t.Errorf("recreate: %v, %d messages", r, s.messages())
	}
	if r := s.reconcile(false); len(r) != 0 {
		t.Errorf("changes are left: %v", r)
	}
}

func TestApply_MakesOtherChangesWhenOneFails(t *testing.T) {
	js := openJetStream(t)
	cfg := jsconfig.Config{Streams: map[string]*jsconfig.Stream{
		"A": jsconfig.NewStream("A"), "B": jsconfig.NewStream("B"),
	}}
	cfg.Streams["A"].Subjects = []string{"$JS.API.>"} // reserved for the server
	cfg.Streams["B"].Subjects = []string{"b"}
	results := reconcile(t, js, cfg, false)
	if len(results) != 2 || results[0].Err == nil || results[1].Err != nil {
		t.Errorf("have %v", results)
	}
}

func TestApply_RestoresAStreamThatCannotBeRecreated(t *testing.T) {
	s := newStream(t)
	s.Storage = "memory"
	s.MaxBytes = 1 << 40 // more than the server has
	results := s.reconcile(true)
	if len(results) != 1 || results[0].Err == nil {
		t.Fatalf("have %v", results)
	}
	info, err := s.js.Stream(t.Context(), "A")
	if err != nil || info.CachedInfo().Config.Storage != jetstream.FileStorage {
		t.Errorf("the stream is gone: %v", err)
	}
}
