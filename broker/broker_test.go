package broker

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// trustNobody is for brokers without tokens.
func trustNobody() *choria.Verifier {
	return choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{}))
}

func newBroker(t *testing.T, store string) *Broker {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	b := New(cfg, DefaultJetStream(), Options{Name: "broker.test", Store: store, Verifier: trustNobody(), Now: time.Now, Log: hclog.NewNullLogger()})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

func openBroker(t *testing.T) *Broker {
	t.Helper()
	b := newBroker(t, t.TempDir())
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOrgansConnectBeforeTheDoorOpens(t *testing.T) {
	cfg := DefaultConfig()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = free.Addr().String()
	_ = free.Close()
	b := New(cfg, DefaultJetStream(), Options{Name: "broker.test", Store: t.TempDir(), Verifier: trustNobody(), Now: time.Now, Log: hclog.NewNullLogger()})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc, err := b.Connect("organ")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", cfg.Listen); err == nil {
		_ = c.Close()
		t.Error("the port is open before Accept")
	}
	if err := b.Accept(); err != nil {
		t.Fatal(err)
	}
	node, err := nats.Connect(b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	nodeJS, _ := jetstream.New(node)
	if _, err := nodeJS.Publish(t.Context(), "s.a", []byte("x")); err != nil {
		t.Errorf("a node does not share the account of the streams: %v", err)
	}
}

func TestStartFailuresNameTheirCauseAtOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		edit func(*Broker)
		want string
	}{
		"port taken":       {func(b *Broker) { b.cfg.Listen = taken.Addr().String() }, "address already in use"},
		"address unknown":  {func(b *Broker) { b.cfg.Listen = "192.0.2.1:4222" }, "cannot assign requested address"},
		"store unreadable": {func(b *Broker) { b.opts.Store = filepath.Join(file, "store") }, "not a directory"},
	} {
		b := newBroker(t, t.TempDir())
		test.edit(b)
		start := time.Now()
		err := b.Open(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: have %v, want %s", name, err, test.want)
		}
		if time.Since(start) > 5*time.Second {
			t.Errorf("%s: took a time-out", name)
		}
	}
}

func TestAPortTakenWhileStartingIsAnError(t *testing.T) {
	b := newBroker(t, t.TempDir())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Listen = taken.Addr().String()
	_ = taken.Close()
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if taken, err = net.Listen("tcp", b.cfg.Listen); err != nil {
		t.Skip("the port was taken by somebody else")
	}
	defer taken.Close()
	if err := b.Accept(); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("have %v", err)
	}
}

func TestConnectTakesTwoLongTokens(t *testing.T) {
	b := openBroker(t)
	if err := b.Accept(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	if info, err := r.ReadString('\n'); err != nil || !strings.Contains(info, `"nonce":`) {
		t.Fatalf("INFO %s: %v", info, err)
	}
	token := strings.Repeat("x", 20<<10)
	fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"jwt\":%q,\"auth_token\":%q}\r\nPING\r\n", token, token)
	if pong, err := r.ReadString('\n'); err != nil || pong != "PONG\r\n" {
		t.Errorf("%s: %v", pong, err)
	}
}

func TestTheSystemAccountTellsOfConnections(t *testing.T) {
	b := openBroker(t)
	system, err := b.ConnectSystem("watcher")
	if err != nil {
		t.Fatal(err)
	}
	defer system.Close()
	events, err := system.SubscribeSync("$SYS.ACCOUNT.choria.CONNECT")
	if err != nil {
		t.Fatal(err)
	}
	if err := system.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := b.Accept(); err != nil {
		t.Fatal(err)
	}
	node, err := nats.Connect(b.Address(), nats.Name("web1"))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	event, err := events.NextMsg(10 * time.Second)
	if err != nil || !strings.Contains(string(event.Data), `"web1"`) {
		t.Errorf("have %v, %v", event, err)
	}
	if _, err := node.SubscribeSync("$SYS.>"); err != nil {
		t.Fatal(err)
	}
	_ = node.Flush()
	if _, err := node.Request("$SYS.REQ.SERVER.PING", nil, 300*time.Millisecond); err == nil {
		t.Error("a node reaches the system account")
	}
}

func TestRefuseAndDisconnectLeaveTheOrgansAlone(t *testing.T) {
	b := openBroker(t)
	if err := b.Accept(); err != nil {
		t.Fatal(err)
	}
	organ, err := b.Connect("organ")
	if err != nil {
		t.Fatal(err)
	}
	defer organ.Close()
	gone := make(chan struct{})
	node, err := nats.Connect(b.Address(), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	b.RefuseNew()
	if n, err := b.DisconnectNodes(); err != nil || n != 1 {
		t.Fatalf("%d nodes were disconnected: %v", n, err)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the node is still connected")
	}
	if c, err := nats.Connect(b.Address()); err == nil {
		c.Close()
		t.Error("a node was let in after Refuse")
	}
	if err := organ.FlushTimeout(5 * time.Second); err != nil {
		t.Errorf("the organ lost its connection: %v", err)
	}
}

func TestAGuessedSecretIsNotEnough(t *testing.T) {
	b := openBroker(t)
	if err := b.Accept(); err != nil {
		t.Fatal(err)
	}
	b.RefuseNew() // without the secret nobody is let in now
	for _, token := range []string{"", "x", strings.ToLower(b.auth.internalSecret)} {
		if c, err := nats.Connect(b.Address(), nats.Token(token)); err == nil {
			c.Close()
			t.Errorf("let in with %q", token)
		}
	}
}

func TestWhoDoesNotReadIsEndedAndOrgansAreNot(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	b := New(cfg, DefaultJetStream(), Options{
		Name: "b", Store: t.TempDir(), MaxPending: 512 << 20, Verifier: trustNobody(), Now: time.Now, Log: hclog.NewNullLogger(),
	})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	if err := b.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Accept(); err != nil {
		t.Fatal(err)
	}
	deaf, err := net.Dial("tcp", b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	fmt.Fprint(deaf, "CONNECT {\"name\":\"deaf\"}\r\nSUB load 1\r\n")
	organ, err := b.Connect("organ")
	if err != nil {
		t.Fatal(err)
	}
	defer organ.Close()
	connected := func() bool {
		page, err := b.srv.Connz(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Conns {
			if c.Name == "deaf" {
				return true
			}
		}
		return false
	}
	deadline := time.Now().Add(20 * time.Second)
	for !connected() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	chunk := make([]byte, 512<<10)
	for range 200 { // 100 MiB: more than is allowed, less than the server's own bound
		if err := organ.Publish("load", chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := organ.Flush(); err != nil {
		t.Fatal(err)
	}
	if !connected() {
		t.Fatal("it was ended before it could be")
	}
	for connected() && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if connected() {
		t.Error("it is still connected")
	}
	if err := organ.FlushTimeout(5 * time.Second); err != nil {
		t.Errorf("the organ was ended: %v", err)
	}
}
