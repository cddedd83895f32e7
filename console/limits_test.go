package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// openConsole runs a console on any free port, in a process that may open so many descriptors.
func openConsole(t *testing.T, cfg Config, o Options, descriptors uint64, edit func(*Console)) *Console {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	o.Now, o.NotReady = time.Now, func() []Reason { return nil }
	c := New(cfg, complete(o))
	c.descriptors = func() (uint64, error) { return descriptors, nil }
	if edit != nil {
		edit(c)
	}
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// dial opens a connection to the console, and asks for its readiness n times.
func dial(t *testing.T, c *Console, n int) (conn net.Conn, err error) {
	t.Helper()
	if conn, err = net.Dial("tcp", c.Address()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	for range n {
		if err := get(conn, "/readyz", ""); err != nil {
			return conn, err
		}
	}
	return conn, nil
}

// get sends one request over the connection and reads the answer.
func get(conn net.Conn, path, header string) error {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, header); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// closes returns an error unless the console closes the connection within two seconds.
func closes(conn net.Conn) error {
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.Copy(io.Discard, conn); err != nil && errors.Is(err, context.DeadlineExceeded) {
		return err
	} else if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return err
	}
	return nil
}

func TestConsole_ClosesConnectionsBeyondTheLimit(t *testing.T) {
	c := openConsole(t, DefaultConfig(), Options{}, 64, nil) // 16 connections, 8 from one address
	var open []net.Conn
	for range 8 {
		conn, err := dial(t, c, 2)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	for range 20 {
		conn, err := dial(t, c, 1)
		if err == nil {
			t.Fatal("a ninth connection from one address is served")
		}
		if err := closes(conn); err != nil {
			t.Fatalf("the connection stays open: %v", err)
		}
	}
	if have := c.limiter.connections(); have != 8 {
		t.Errorf("%d connections are open", have)
	}
	wait.Eventually(t, func() error { // it is counted a moment after it is closed
		if have := c.refusals.snapshot()[reasonAddressConnections]; have != 20 {
			return fmt.Errorf("counted %d", have)
		}
		return nil
	})
	_ = open[0].Close()
	wait.Eventually(t, func() error { _, err := dial(t, c, 1); return err })
}

func TestConsole_ClosesIdleConnections(t *testing.T) {
	if c := New(DefaultConfig(), complete(Options{})); c.server.IdleTimeout != idleTimeout ||
		c.server.WriteTimeout != answerTimeout || c.server.MaxHeaderBytes != maxHeader {
		t.Error("the server has no limits")
	}
	short := func(c *Console) { c.server.IdleTimeout = 100 * time.Millisecond }
	c := openConsole(t, DefaultConfig(), Options{}, 1024, short)
	conn, err := dial(t, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := closes(conn); err != nil {
		t.Error(err)
	}
	wait.Eventually(t, func() error {
		if n := c.limiter.connections(); n != 0 {
			return fmt.Errorf("%d connections are counted", n)
		}
		return nil
	})
}

func TestConsole_RefusesALargeHeader(t *testing.T) {
	c := openConsole(t, DefaultConfig(), Options{}, 1024, nil)
	for size, refused := range map[int]bool{maxHeader / 2: false, 2 * maxHeader: true} {
		conn, _ := dial(t, c, 0)
		err := get(conn, "/readyz", "X: "+strings.Repeat("x", size)+"\r\n") // status 431, or closed before it is read
		if (err != nil) != refused {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// A client without the token must not keep its connection.
func TestConsole_ClosesConnectionsWithoutToken(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Token = "a token that is long enough"
	c := openConsole(t, cfg, Options{}, 1024, nil)
	conn, err := dial(t, c, 1)
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("have %v", err)
	}
	if err := closes(conn); err != nil {
		t.Error(err)
	}
	if have := c.refusals.snapshot()[CodeUnauthorized]; have != 1 {
		t.Errorf("counted %d", have)
	}
}

func TestLimiter_Take(t *testing.T) {
	l := newLimiter(nil, 3, 2, nil)
	origin := func(text string) netip.Prefix { return originOf(netip.MustParseAddr(text)) }
	for _, step := range []struct{ address, want string }{
		{"192.0.2.1", ""}, {"192.0.2.1", ""}, {"192.0.2.1", reasonAddressConnections},
		{"192.0.2.2", ""}, {"192.0.2.3", reasonConnections},
	} {
		if have := l.take(origin(step.address)); have != step.want {
			t.Errorf("%s: have %q, want %q", step.address, have, step.want)
		}
	}
	for _, address := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2"} {
		l.release(origin(address))
	}
	if l.open != 0 || len(l.addresses) != 0 {
		t.Errorf("%d connections, %v", l.open, l.addresses)
	}
}

func TestOriginOf(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1": "127.0.0.0/8", "127.9.9.9": "127.0.0.0/8", "192.0.2.1": "192.0.2.1/32",
		"::1": "::1/128", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
	} {
		t.Run(address, func(t *testing.T) {
			if have := originOf(netip.MustParseAddr(address)).String(); have != want {
				t.Errorf("have %s, want %s", have, want)
			}
		})
	}
	if have := originOf(netip.Addr{}); have.IsValid() {
		t.Errorf("have %s", have)
	}
}

func TestConnectionLimits(t *testing.T) {
	for descriptors, want := range map[uint64]int{10: 8, 256: 64, 1024: 256, 524288: 256} {
		t.Run(fmt.Sprint(descriptors), func(t *testing.T) {
			if total, perAddress := connectionLimits(descriptors); total != want || perAddress != want/2 {
				t.Errorf("have %d and %d", total, perAddress)
			}
		})
	}
}
