package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/testkit/deaf"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// deafNode connects as a node with a token that subscribes to its own subject and reads nothing.
func (s *site) deafNode(t *testing.T, identity string) (*deaf.Conn, uint64) {
	t.Helper()
	return s.deafNodeAt(t, "tls://"+s.broker.Address(), identity)
}

// deafNodeAt does what deafNode does, at the URL of one of the listeners.
func (s *site) deafNodeAt(t *testing.T, url, identity string) (*deaf.Conn, uint64) {
	t.Helper()
	d := &deaf.Dialer{}
	nc, err := s.connectTo(url, s.withToken(s.node(identity), nats.SetCustomDialer(d))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	id, err := nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("choria.node."+identity, func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	d.Stop()
	return d.Conn, id
}

// send publishes so many MiB over an internal connection.
func (s *site) send(t *testing.T, subject string, mebibytes int) {
	t.Helper()
	internal := internalConn(t, s.broker)
	for range 4 * mebibytes {
		if err := internal.Publish(subject, make([]byte, 256<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := internal.FlushTimeout(wait.Limit); err != nil {
		t.Fatal(err)
	}
}

// soon is less than the ten seconds that the server waits for a client that does not read.
const soon = 5 * time.Second

func TestBroker_EndsASlowReaderButNoInternalConnection(t *testing.T) {
	s := openSiteWith(t, func(_ *site, _ *Config, o *Options) { o.MaxBacklog = 512 << 20 })
	receiver := &blockedReceiver{release: make(chan struct{})}
	internal, err := s.broker.DialInproc("component", []string{"choria.node.slow"}, receiver)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- internal.Run() }()
	t.Cleanup(internal.Close)
	slow, _ := s.deafNode(t, "slow")

	const mebibytes = 100 // more than may wait for a connection of a node, and in the kernel
	s.send(t, "choria.node.slow", mebibytes)
	wait.Eventually(t, func() error {
		if n := s.broker.auth.refusals.snapshot()["max-backlog"]; n != 1 {
			return fmt.Errorf("%d connections were ended", n)
		}
		return nil
	})
	_ = slow.SetReadDeadline(time.Now().Add(soon))
	var timeout net.Error
	if _, err := io.Copy(io.Discard, slow.TCPConn); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the socket is not closed: %v", err)
	}
	close(receiver.release)
	wait.Eventually(t, func() error {
		if n := receiver.received.Load(); n != 4*mebibytes {
			return fmt.Errorf("the internal connection received %d of %d", n, 4*mebibytes)
		}
		return nil
	})
	select {
	case err := <-ended:
		t.Errorf("the internal connection ended: %v", err)
	default:
	}
}

func TestBroker_EndsConnectionsOfTheIdentityForWhichMostWaits(t *testing.T) {
	s := openSite(t, nil)
	_, behind := s.deafNode(t, "behind")
	s.send(t, "choria.node.behind", 18)
	for range 5 {
		s.deafNode(t, "hostile")
	}
	s.send(t, "choria.node.hostile", 25) // five times
	wait.Eventually(t, func() error {
		if n := s.broker.auth.refusals.snapshot()["max-total-backlog"]; n == 0 {
			return errors.New("no connection was ended")
		}
		return nil
	})
	if s.broker.srv.GetClient(behind) == nil {
		t.Errorf("a connection was ended that is behind by less: %s", s.log)
	}
}

func TestBroker_FreesWhatWaitsForAConnectionThatEnded(t *testing.T) {
	s := openSite(t, nil)
	conn, id := s.deafNode(t, "hostile")
	s.send(t, "choria.node.hostile", 30)
	start := time.Now()
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		sockets := s.broker.auth.sockets
		sockets.mu.Lock()
		defer sockets.mu.Unlock()
		if sockets.byID[id] != nil || s.broker.srv.GetClient(id) != nil {
			return errors.New("the socket is open")
		}
		return nil
	})
	if took := time.Since(start); took > soon {
		t.Errorf("the socket was closed after %s", took)
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

// slowDialer makes connections that read only so much in each millisecond.
type slowDialer struct{ bytes int }

type slowConn struct {
	net.Conn
	bytes int
}

func (d slowDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return slowConn{conn, d.bytes}, err
}

func (c slowConn) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return c.Conn.Read(p[:min(len(p), c.bytes)])
}

func TestBroker_KeepsAConsumerThatIsFarBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 128 MiB slowly")
	}
	b := openBroker(t)
	accept(t, b)
	internal := internalConn(t, b)
	js, err := internal.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	const messages = 1500
	for range messages {
		if _, err := js.Publish("s", make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	nc, err := nats.Connect("nats://"+b.Address(), nats.Name("behind"), nats.SetCustomDialer(slowDialer{32 << 10}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	reader, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	var received, most atomic.Int64
	_, err = reader.Subscribe("s", func(*nats.Msg) { received.Add(1) }, nats.OrderedConsumer())
	if err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		connections, err := b.srv.Connz(&server.ConnzOptions{Sort: server.ByPending, Limit: 1})
		if err != nil {
			return err
		}
		most.Store(max(most.Load(), int64(connections.Conns[0].Pending)))
		if n := received.Load(); n != messages {
			return fmt.Errorf("received %d of %d", n, messages)
		}
		return nil
	})
	t.Logf("%d MiB waited", most.Load()>>20)
	if n := nc.Stats().Reconnects; n != 0 {
		t.Errorf("reconnected %d times", n)
	}
}
