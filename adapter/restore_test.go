package adapter

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// openStream opens a broker with a stream S of the subjects out and out.>.
func openStream(tb testing.TB) (*broker.Broker, jetstream.JetStream) {
	tb.Helper()
	cfg := broker.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	b := broker.New(cfg, broker.DefaultJetStream(), broker.Options{
		Name: "b", StoreDir: tb.TempDir(), Now: time.Now, Log: hclog.NewNullLogger(),
		Verifier: choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{})),
	})
	tb.Cleanup(func() { _ = b.Close(context.Background()) })
	if err := b.Open(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	nc, err := b.Connect("test")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		tb.Fatal(err)
	}
	_, err = js.CreateStream(tb.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"out", "out.>"}})
	if err != nil {
		tb.Fatal(err)
	}
	return b, js
}

// newRestoring returns an adapter with the name "reg" that is not open, and what it logs.
func newRestoring(tb testing.TB, topic string, o Options) (*Adapter, *bytes.Buffer) {
	tb.Helper()
	cfg := NewConfig("reg")
	cfg.Stream.Topic = topic
	log := &bytes.Buffer{}
	o.Now, o.Log = time.Now, hclog.New(&hclog.LoggerOptions{Output: log})
	o.Verifier = captureVerifier(tb)
	return New(*cfg, o), log
}

// storedMessage returns a stored message; newest may be zero.
func storedMessage(subject, id, sender, verified string, signed, newest time.Time) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data = []byte("data")
	m.Header.Set(contract.HeaderMsgID, id)
	m.Header.Set(contract.HeaderSender, sender)
	m.Header.Set(contract.HeaderVerified, verified)
	m.Header.Set(contract.HeaderTime, formatTime(signed))
	if !newest.IsZero() {
		m.Header.Set(contract.HeaderNewest, formatTime(newest))
	}
	return m
}

func TestRestore_ReadsNewestSignedTimes(t *testing.T) {
	for _, topic := range []string{"out.%s", "out.x-%s.y", "out"} {
		t.Run(topic, func(t *testing.T) {
			b, js := openStream(t)
			subject := func(sender string) string { return strings.ReplaceAll(topic, "%s", sender) }
			never := time.Time{}
			for i, m := range []*nats.Msg{
				storedMessage(subject("a.net"), "reg/a.net/1", "a.net", "x509", minutes(1), never),
				storedMessage(subject("b.net"), "reg/b.net/1", "b.net", "jwt", minutes(2), never),
				storedMessage(subject("a.net"), "reg/a.net/2", "a.net", "x509", minutes(3), never),
				storedMessage(subject("set.back"), "reg/set.back/1", "set.back", "x509", minutes(4), minutes(5)),
				storedMessage(subject("c"), "reg/c/1", "c", contract.ReasonUntrusted, minutes(6), never),
				storedMessage(subject("d"), "other/d/1", "d", "x509", minutes(7), never),
				storedMessage(subject("e"), "reg/e/1", "e", "x509", never, never),
				nats.NewMsg(subject("f")),
			} {
				if _, err := js.PublishMsg(t.Context(), m); err != nil {
					t.Fatal(i, err)
				}
			}
			a, log := newRestoring(t, topic, Options{Stream: "S", Connect: b.Connect})
			a.restoreSignedTimes(t.Context())
			for sender, want := range map[string]int64{
				"a.net": minutes(3).UnixMicro(), "b.net": minutes(2).UnixMicro(), "set.back": minutes(5).UnixMicro(),
				"c": 0, "d": 0, "f": 0,
			} {
				key := a.signedTimes.identify(sender, "", base).sender
				if have := a.signedTimes.senders[key].floor; have != want {
					t.Errorf("%s: %s, want %s", sender, formatMicro(have), formatMicro(want))
				}
			}
			if log.Len() > 0 {
				t.Errorf("logged %s", log)
			}
			s, err := js.Stream(t.Context(), "S")
			if err != nil {
				t.Fatal(err)
			}
			if n := s.CachedInfo().State.Consumers; n != 0 {
				t.Errorf("%d consumers are left", n)
			}
		})
	}
}

func TestRestore_StartsWithoutTheStream(t *testing.T) {
	b, _ := openStream(t)
	silent, err := b.ConnectSystem("silent")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := silent.Subscribe("$JS.API.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := silent.Flush(); err != nil {
		t.Fatal(err)
	}
	noConnection := func(string, ...nats.Option) (*nats.Conn, error) { return nil, nats.ErrTimeout }
	for name, test := range map[string]struct {
		stream  string
		connect Connect
		warns   bool
	}{
		"it is not declared":      {"", b.Connect, false},
		"it does not exist":       {"T", b.Connect, true},
		"it does not answer":      {"S", b.ConnectSystem, true},
		"there is no connection":  {"S", noConnection, true},
		"the stream has messages": {"S", b.Connect, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, log := newRestoring(t, "out.%s", Options{Stream: test.stream, Connect: test.connect})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			a.restoreSignedTimes(ctx)
			if warns := strings.Contains(log.String(), "signed times not read"); warns != test.warns {
				t.Errorf("logged %q", log)
			}
		})
	}
}

// BenchmarkRestore reads the signed times of 300 000 senders.
func BenchmarkRestore(b *testing.B) {
	const senders = 300_000
	br, js := openStream(b)
	for i := range senders {
		sender := fmt.Sprintf("node%06d.example.net", i)
		m := storedMessage("out."+sender, "reg/"+sender+"/1", sender, "x509", base, time.Time{})
		if _, err := js.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	for b.Loop() {
		a, log := newRestoring(b, "out.%s", Options{Stream: "S", Connect: br.Connect})
		a.restoreSignedTimes(b.Context())
		if len(a.signedTimes.senders) != senders {
			b.Fatal(len(a.signedTimes.senders), log)
		}
	}
}
