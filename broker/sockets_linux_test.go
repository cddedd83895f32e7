package broker

import (
	"net"
	"syscall"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// shared returns a dialer whose connections share a local port with others; nil: any free one.
func shared(local net.Addr) *net.Dialer {
	return &net.Dialer{
		LocalAddr: local, Timeout: wait.Limit,
		Control: func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
			if err != nil {
				return err
			}
			return failed
		},
	}
}

// TestSockets_TellsListenersApart connects to both ports from one address and port. The connection over WebSocket,
// which is not admitted, stays limited.
func TestSockets_TellsListenersApart(t *testing.T) {
	s := openListeners(t, nil)
	first := s.shakeHands(t, shared(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	nc, err := s.connect(s.certificate("web1"), nats.SetCustomDialer(shared(first.LocalAddr())))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	waiting := s.broker.auth.sockets.upgrades()
	if len(waiting) != 1 || waiting[0].RemoteAddr().String() != first.LocalAddr().String() {
		t.Fatalf("%d connections over WebSocket wait", len(waiting))
	}
	id, err := nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	s.broker.auth.sockets.mu.Lock()
	admitted := s.broker.auth.sockets.byID[id]
	s.broker.auth.sockets.mu.Unlock()
	switch {
	case admitted == nil:
		t.Error("the socket of the node is not known")
	case admitted.RemoteAddr().String() != first.LocalAddr().String():
		t.Errorf("the connections come from %s and %s", admitted.address, first.LocalAddr())
	case admitted.LocalAddr().String() != s.broker.Address():
		t.Errorf("the socket of the node is taken to be that at %s", admitted.LocalAddr())
	}
}
