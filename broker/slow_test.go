package broker

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

func TestBroker_DisconnectsSlowReadersButNotInternalOnes(t *testing.T) {
	o := testOptions(t)
	o.MaxBacklog = 512 << 20
	b := newBroker(t, DefaultConfig(), o)
	open(t, b)
	accept(t, b)
	slow, err := net.Dial("tcp", b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "CONNECT {\"name\":\"slow\"}\r\nSUB load 1\r\n")
	internal, err := b.Connect("component")
	if err != nil {
		t.Fatal(err)
	}
	defer internal.Close()
	connected := func() bool {
		connections, err := b.srv.Connz(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range connections.Conns {
			if c.Name == "slow" {
				return true
			}
		}
		return false
	}
	wait.Eventually(t, func() error {
		if !connected() {
			return errors.New("not connected")
		}
		return nil
	})
	chunk := make([]byte, 512<<10)
	for range 200 { // 100 MiB: more than maxClientBacklog, less than the server's own limit
		if err := internal.Publish("load", chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := internal.Flush(); err != nil {
		t.Fatal(err)
	}
	if !connected() {
		t.Fatal("disconnected by something else than the check")
	}
	wait.Eventually(t, func() error {
		if connected() {
			return errors.New("still connected")
		}
		return nil
	})
	if err := internal.FlushTimeout(5 * time.Second); err != nil {
		t.Errorf("the internal connection was closed: %v", err)
	}
}

// blockedReceiver receives nothing until release is closed, and then everything.
type blockedReceiver struct {
	release  chan struct{} // closed by the test
	received atomic.Uint64
}

func (*blockedReceiver) Memory(size int, _ inproc.Peer) []byte { return make([]byte, size) }

func (r *blockedReceiver) Receive(m inproc.Message) {
	<-r.release
	if len(m.Data) > 0 {
		r.received.Add(1)
	}
}

func TestBroker_SlowInternalConnectionSlowsSenders(t *testing.T) {
	b := openBroker(t)
	accept(t, b)
	receiver := &blockedReceiver{release: make(chan struct{})}
	conn, err := b.DialInproc("component", []string{"load.>"}, receiver)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- conn.Run() }()
	t.Cleanup(conn.Close)

	node, err := nats.Connect(b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	const messages = 9000 // 88 MiB, more than may wait for a connection
	sent := make(chan error, 1)
	go func() {
		for range messages {
			if err := node.Publish("load.x", make([]byte, 10<<10)); err != nil {
				sent <- err
				return
			}
		}
		sent <- node.FlushTimeout(time.Minute)
	}()
	wait.Eventually(t, func() error {
		if b.srv.NumStalledClients() == 0 {
			return errors.New("the server slows no sender")
		}
		return nil
	})
	close(receiver.release)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		select {
		case err := <-ended:
			t.Fatalf("the connection ended: %v", err)
		default:
		}
		if n := receiver.received.Load(); n != messages {
			return fmt.Errorf("received %d of %d", n, messages)
		}
		return nil
	})
	if sent, ok := b.MessagesSent(conn.ID()); !ok || sent != messages {
		t.Errorf("the broker sent %d of %d", sent, messages)
	}
}
