package adapter

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// registrationSubject is where nodes publish registrations.
const registrationSubject = "mcollective.broadcast.agent.registration"

// openWith opens an adapter with a broker of its own, which has no streams.
func openWith(t *testing.T, cfg *Config, buffer int64) (*Adapter, *broker.Broker) {
	t.Helper()
	bcfg := broker.DefaultConfig()
	bcfg.Listen = "127.0.0.1:0"
	verifier := choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{}))
	b := broker.New(bcfg, broker.DefaultJetStream(), broker.Options{
		Name: "b", StoreDir: t.TempDir(), Verifier: verifier, Now: time.Now, Log: hclog.NewNullLogger(),
		Intakes: []broker.Intake{{Name: "input", Subjects: cfg.Ingest.Topics}},
	})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := New(*cfg, Options{
		Site: "s", Buffer: buffer, Now: time.Now, Dial: b.DialInproc, DialInput: dialInput(b), MessagesSent: b.MessagesSent,
		Verifier: verifier, Log: hclog.NewNullLogger(),
	})
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(t.Context()) })
	return a, b
}

// dialInput returns a function that dials the intake of openWith.
func dialInput(b *broker.Broker) Dial {
	return func(name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error) {
		return b.DialIntake("input", name, subjects, receiver)
	}
}

// publish sends n registrations with the content, each from another sender.
func publish(t *testing.T, b *broker.Broker, n int, content []byte, compress bool) {
	t.Helper()
	nc, err := b.Connect("node")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	body, err := choria.FileBody("/facts", time.Unix(1, 0), false, content, compress)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		id, sender := fmt.Sprintf("%032d", i), fmt.Sprintf("web%d", i)
		raw, err := choria.NewRegistration(id, sender, "mcollective", time.Now(), body).EncodeV1(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish(registrationSubject, raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// waitReceived waits until the adapter has received n messages.
func waitReceived(t *testing.T, a *Adapter, n uint64) {
	t.Helper()
	wait.Eventually(t, func() error {
		if s := a.Stats(); s.Received < n {
			return fmt.Errorf("%d of %d received", s.Received, n)
		}
		return nil
	})
}
