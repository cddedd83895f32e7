package forward

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/dial"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// A server that accepts connections and stays silent does not hold up a link for ever: the client library itself does
// not limit the TLS handshake of a WebSocket.
func TestLink_ASilentWebSocketTimesOut(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	ended := make(chan error, 1)
	go func() {
		nc, err := nats.Connect("wss://"+listener.Addr().String(),
			nats.SetCustomDialer(&dial.Dialer{Timeout: 100 * time.Millisecond}))
		if err == nil {
			nc.Close()
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("connected")
		}
	case <-time.After(wait.Limit):
		t.Error("the handshake does not end")
	}
}
