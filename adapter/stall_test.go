package adapter

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
)

// openWith runs an adapter against a broker of its own, without any stream.
func openWith(t *testing.T, cfg *Config, buffer int64) (*Adapter, *broker.Broker) {
	t.Helper()
	bcfg := broker.DefaultConfig()
	bcfg.Listen = "127.0.0.1:0"
	b := broker.New(bcfg, broker.DefaultJetStream(), broker.Options{Name: "b", Store: t.TempDir(), Verifier: choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{})), Now: time.Now, Log: hclog.NewNullLogger()})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := New(*cfg, Options{Site: "s", Buffer: buffer, Now: time.Now, Dial: b.DialInproc, Delivered: b.Delivered, Verifier: choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{})), Log: hclog.NewNullLogger()})
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(t.Context()) })
	return a, b
}

// publish sends registrations with so much content, each from another sender.
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
		raw, err := choria.NewRegistration(fmt.Sprintf("%032d", i), fmt.Sprintf("web%d", i), "mcollective", time.Now(), body).EncodeV1(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish("mcollective.broadcast.agent.registration", raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// deafNATS is a server that greets, answers the first ping, and never reads again.
func deafNATS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			fmt.Fprint(c, "INFO {\"server_id\":\"deaf\",\"version\":\"2.15.2\",\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n")
			for lines := bufio.NewReaderSize(c, 16); ; {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				if strings.HasPrefix(line, "PING") {
					fmt.Fprint(c, "PONG\r\n")
					break
				}
			}
		}
	}()
	return l.Addr().String()
}

func TestAPeerThatStopsReadingStopsNobody(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Stream.Servers = []string{deafNATS(t)}
	a, b := openWith(t, cfg, 256<<20)
	publish(t, b, 400, make([]byte, 40<<10), false) // more than its socket takes
	deadline := time.Now().Add(30 * time.Second)
	for a.Stats().Received < 400 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	// The fault has fired when a publish is stuck with the connection's own lock.
	stuck := func() bool {
		free := make(chan struct{})
		go func() { a.out.connected(); close(free) }()
		select {
		case <-free:
			return false
		case <-time.After(300 * time.Millisecond):
			return true
		}
	}
	for !stuck() {
		if time.Now().After(deadline) {
			t.Fatal("no publish is stuck")
		}
	}
	// Meanwhile the ledger can be asked and goes on receiving.
	waiting := make(chan struct{})
	go func() { close(waiting); a.Connected() }()
	<-waiting
	time.Sleep(50 * time.Millisecond) // until it waits for the connection's lock
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		a.Stats()
		_ = a.Fault()
		publish(t, b, 10, []byte("{}"), false)
	}()
	select {
	case <-asked:
	case <-time.After(writeWait / 2):
		t.Fatal("a stuck publish holds up the ledger")
	}
	for a.Stats().Received < 410 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if s := a.Stats(); s.Received != 410 || s.Pending != 410 || !s.Balanced() {
		t.Errorf("have %+v", s)
	}
}

func TestWhatHasNoVerdictWhenTheTimeIsOverIsDropped(t *testing.T) {
	a, b := openWith(t, DefaultConfig(), 64<<20) // nobody takes what it publishes
	publish(t, b, 100, []byte("{}"), false)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	s := a.Stats()
	if s.Received != 100 || s.Dropped[contract.ReasonShutdown] != 100 || s.Pending != 0 || s.Held != 0 || !s.Balanced() {
		t.Errorf("have %+v", s)
	}
}

func TestWhatUnpacksStaysWithinTheBufferToo(t *testing.T) {
	const buffer, unpacked = 4 << 20, 256 << 10
	cfg := DefaultConfig()
	cfg.Stream.Format = "plain"
	cfg.Ingest.Workers = 2
	a, b := openWith(t, cfg, buffer)
	publish(t, b, 500, make([]byte, unpacked), true)
	deadline := time.Now().Add(30 * time.Second)
	for a.Stats().Received < 500 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	var most int64
	for range 200 {
		most = max(most, a.Stats().Held)
		time.Sleep(time.Millisecond)
	}
	if most < buffer || most > buffer+3*(unpacked+4096) {
		t.Errorf("%d bytes are held, with a buffer of %d", most, buffer)
	}
}
