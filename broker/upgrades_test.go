package broker

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// tryHandshake opens a TLS connection to the port for WebSocket, and sends nothing over it.
func (s *site) tryHandshake(t *testing.T, from *net.Dialer) (*tls.Conn, error) {
	t.Helper()
	conn, err := tls.DialWithDialer(from, "tcp", strings.TrimPrefix(s.websocketURL(), "wss://"),
		&tls.Config{RootCAs: s.ca.Pool(), MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, conn.SetDeadline(time.Now().Add(wait.Limit))
}

// shakeHands does what tryHandshake does, and fails the test if it cannot.
func (s *site) shakeHands(t *testing.T, from *net.Dialer) *tls.Conn {
	t.Helper()
	conn, err := s.tryHandshake(t, from)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// upgrade is a request for WebSocket.
const upgrade = "GET / HTTP/1.1\r\nHost: broker.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// TestUpgrades_AreLimited opens connections that send no request, and some that send one and nothing more.
func TestUpgrades_AreLimited(t *testing.T) {
	s := openListeners(t, func(c *Config) { c.MaxUnauthenticated = 10 })
	node := mustDial(t, s, dialers["websocket"], s.certificate("web1"))
	var all []*tls.Conn
	for i := range 40 {
		conn, err := s.tryHandshake(t, &net.Dialer{})
		if err != nil {
			continue // it was closed already
		}
		if i%4 == 0 {
			_, _ = io.WriteString(conn, upgrade)
		}
		all = append(all, conn)
	}
	wait.Eventually(t, func() error {
		if have := s.broker.auth.refusals.snapshot(); have["max-unauthenticated"] != 30 || have["handshake"] != 0 {
			return fmt.Errorf("counted %v", have)
		}
		if have := len(s.broker.auth.sockets.upgrades()); have != 10 {
			return fmt.Errorf("%d are open", have)
		}
		return nil
	})
	if node.ended() {
		t.Error("the node was disconnected")
	}
	for _, conn := range all {
		_ = conn.Close()
	}
	wait.Eventually(t, func() error {
		if have := len(s.broker.auth.sockets.upgrades()); have != 0 {
			return fmt.Errorf("%d are open", have)
		}
		return nil
	})
	mustDial(t, s, dialers["websocket"], s.certificate("web2"))
}

func TestUpgrades_EndWhenTheyTakeTooLong(t *testing.T) {
	var ahead atomic.Int64
	s := openSiteWith(t, func(_ *site, c *Config, o *Options) {
		withListeners(c, nil)
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	node := mustDial(t, s, dialers["websocket"], s.certificate("web1"))
	conn := s.shakeHands(t, &net.Dialer{})
	want := s.broker.auth.refusals.snapshot()
	want["timeout"]++
	ahead.Store(int64(maxUpgradeTime + time.Minute))
	s.wantRefused(t, want, "timeout")
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
	if node.ended() {
		t.Error("the node was disconnected")
	}
}

func TestUpgrades_EndWhenTheySendTooMuch(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells how many bytes have arrived")
	}
	s := openListeners(t, nil)
	conn := s.shakeHands(t, &net.Dialer{})
	want := s.broker.auth.refusals.snapshot()
	want["limit"]++
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nX: ")
	_, _ = conn.Write([]byte(strings.Repeat("x", 2*maxUpgradeBytes)))
	s.wantRefused(t, want, "limit")
}

// heldBack is a connection that calls check before the last byte of each write, once it has sent more than after bytes.
type heldBack struct {
	net.Conn
	after, sent int
	check       func(sent int)
}

func (h *heldBack) Write(p []byte) (int, error) {
	n, err := h.Conn.Write(p[:len(p)-1])
	if h.sent += n; err != nil {
		return n, err
	}
	if h.sent > h.after {
		h.check(h.sent)
	}
	last, err := h.Conn.Write(p[n:])
	h.sent += last
	return n + last, err
}

// Dial implements nats.CustomDialer.
func (h *heldBack) Dial(network, address string) (net.Conn, error) {
	var err error
	h.Conn, err = net.Dial(network, address)
	return h, err
}

// TestUpgrades_OfLongTokensFit sends almost the longest control line and four certificates, the most that the main port
// accepts, and has the limit checked before the last byte.
func TestUpgrades_OfLongTokensFit(t *testing.T) {
	s := openListeners(t, nil)
	config := s.ca.Client(nil, "web1")
	chain := &config.Certificates[0].Certificate
	*chain = append(*chain, (*chain)[0], (*chain)[0], (*chain)[0])
	long := nats.UserInfo("system", strings.Repeat("x", inproc.MaxControlLine-512))
	s.mustRefuseOver(t, dialers["nats"], "wrong-password", nats.Secure(config), long)
	most := 0
	held := &heldBack{after: inproc.MaxControlLine / 2, check: func(sent int) {
		most = max(most, sent)
		wait.Eventually(t, func() error {
			for _, waiting := range s.broker.auth.sockets.upgrades() {
				if have := waiting.received(); have > 0 && have < uint64(sent) {
					return fmt.Errorf("%d of %d bytes have arrived", have, sent)
				}
			}
			return nil
		})
		s.broker.limitUpgrades()
	}}
	s.mustRefuseOver(t, dialers["websocket"], "wrong-password", nats.Secure(config), long, nats.SetCustomDialer(held))
	if most < inproc.MaxControlLine {
		t.Errorf("only %d bytes were sent", most)
	}
}

func TestUpgrades_BadRequestsAreCounted(t *testing.T) {
	s := openListeners(t, nil)
	for name, request := range map[string]string{
		"not an upgrade": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"MQTT":           strings.Replace(upgrade, "GET /", "GET /mqtt", 1),
	} {
		t.Run(name, func(t *testing.T) {
			want := s.broker.auth.refusals.snapshot()
			want["handshake"]++
			conn := s.shakeHands(t, &net.Dialer{})
			_, _ = io.WriteString(conn, request)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || answer.StatusCode < http.StatusBadRequest {
				t.Errorf("have %v, %v", answer, err)
			}
			s.wantRefused(t, want, "handshake")
		})
	}
}

// TestWebSocket_ClosesTheSocketOfASlowReader has a node over WebSocket that reads nothing.
func TestWebSocket_ClosesTheSocketOfASlowReader(t *testing.T) {
	s := openSiteWith(t, func(_ *site, c *Config, o *Options) {
		withListeners(c, nil)
		o.MaxBacklog = 512 << 20
	})
	conn, _ := s.deafNodeAt(t, s.websocketURL(), "slow")
	s.send(t, "choria.node.slow", 80)
	wait.Eventually(t, func() error {
		if n := s.broker.auth.refusals.snapshot()["max-backlog"]; n != 1 {
			return fmt.Errorf("%d connections were ended", n)
		}
		return nil
	})
	_ = conn.SetReadDeadline(time.Now().Add(soon))
	if _, err := io.Copy(io.Discard, conn.TCPConn); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the socket is not closed: %v", err)
	}
}
