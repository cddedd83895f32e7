package broker

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestBroker_InternalConnectionsBeforeAccept(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	b := newBroker(t, DefaultConfig(), testOptions(t))
	b.cfg.Listen = address
	open(t, b)
	js := jetStreamOf(t, b)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Error("the port is open before Accept")
	}
	accept(t, b)
	node, err := nats.Connect(b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	nodeJS, _ := jetstream.New(node)
	if _, err := nodeJS.Publish(t.Context(), "s.a", []byte("x")); err != nil {
		t.Errorf("a node is in another account than the streams: %v", err)
	}
}

func TestBroker_OpenErrorContainsCause(t *testing.T) {
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
		"store unreadable": {func(b *Broker) { b.opts.StoreDir = filepath.Join(file, "store") }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBroker(t, DefaultConfig(), testOptions(t))
			test.edit(b)
			start := time.Now()
			err := b.Open(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("have %v, want %s", err, test.want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestBroker_AcceptErrorContainsTakenPort(t *testing.T) {
	b := newBroker(t, DefaultConfig(), testOptions(t))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Listen = taken.Addr().String()
	_ = taken.Close()
	open(t, b)
	if taken, err = net.Listen("tcp", b.cfg.Listen); err != nil {
		t.Skip("another process has taken the port")
	}
	defer taken.Close()
	if err := b.Accept(); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("have %v", err)
	}
}

func TestBroker_SystemAccountHasConnectEvents(t *testing.T) {
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
	accept(t, b)
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

func TestBroker_DisconnectExternalKeepsInternalConnections(t *testing.T) {
	b := openBroker(t)
	accept(t, b)
	internal, err := b.Connect("component")
	if err != nil {
		t.Fatal(err)
	}
	defer internal.Close()
	closed := make(chan struct{})
	node, err := nats.Connect(b.Address(), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	b.RefuseNew()
	if n, err := b.DisconnectExternal(); err != nil || n != 1 {
		t.Fatalf("%d nodes were disconnected: %v", n, err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the node is still connected")
	}
	if c, err := nats.Connect(b.Address()); err == nil {
		c.Close()
		t.Error("a node was admitted after RefuseNew")
	}
	if err := internal.FlushTimeout(5 * time.Second); err != nil {
		t.Errorf("the internal connection was closed: %v", err)
	}
}

func TestBroker_CloseTwiceAndBeforeOpen(t *testing.T) {
	b := newBroker(t, DefaultConfig(), testOptions(t))
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("before Open: %v", err)
	}
	open(t, b)
	for range 2 {
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Connect("component"); err == nil {
		t.Error("connected after Close")
	}
}
