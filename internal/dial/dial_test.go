package dial

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/proxy"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// greeter returns the address of a server that speaks first, as a NATS server does, and then sends back what it reads.
func greeter(t *testing.T) string {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "hello\n")
		_, _ = io.Copy(conn, conn)
	})
}

// serve returns the address of a server that handles each connection and closes it.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); handle(conn) }()
		}
	}()
	return listener.Addr().String()
}

// newProxy runs a proxy until the test ends, and returns it with a dialer through it.
func newProxy(t *testing.T, o proxy.Options, user *url.Userinfo) (*proxy.Proxy, *Dialer) {
	t.Helper()
	p := proxy.New(o)
	t.Cleanup(p.Close)
	return p, &Dialer{Timeout: wait.Limit, Proxy: &url.URL{Scheme: "http", Host: p.Address(), User: user}}
}

// exchange reads the greeting, and sends a line that comes back.
func exchange(conn net.Conn) error {
	lines := bufio.NewReader(conn)
	for _, want := range []string{"hello\n", "ping\n"} {
		if have, err := lines.ReadString('\n'); err != nil || have != want {
			return fmt.Errorf("%q, %w; want %q", have, err, want)
		}
		if want == "hello\n" {
			if _, err := io.WriteString(conn, "ping\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestDialer_OpensTunnels(t *testing.T) {
	ca := authority.New(t, time.Now())
	certificate, err := tls.X509KeyPair(pair(ca.Pair(nil, "proxy.example.net")))
	if err != nil {
		t.Fatal(err)
	}
	target := greeter(t)
	for name, test := range map[string]struct {
		options proxy.Options
		user    *url.Userinfo
	}{
		"http":            {},
		"with a password": {proxy.Options{User: "edge", Password: "p@ss:word"}, url.UserPassword("edge", "p@ss:word")},
		"https":           {options: proxy.Options{Certificate: &certificate}},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := newProxy(t, test.options, test.user)
			if test.options.Certificate != nil {
				d.Proxy.Scheme, d.Roots = "https", ca.Pool()
			}
			var opened []net.Conn
			d.Opened = func(conn net.Conn) { opened = append(opened, conn) }
			conn, err := d.Dial("tcp", target)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := exchange(conn); err != nil {
				t.Error(err)
			}
			if targets := p.Targets(); !slices.Equal(targets, []string{target}) || len(opened) != 1 {
				t.Errorf("the proxy connected to %q; %d sockets", targets, len(opened))
			}
			_ = opened[0].Close()
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the socket is closed, and reading returns %v", err)
			}
		})
	}
}

func pair(certificate, key string) ([]byte, []byte) { return []byte(certificate), []byte(key) }

// A name is resolved by the proxy, because the machine may know no names outside of its network.
func TestDialer_TheProxyResolvesNames(t *testing.T) {
	requests := make(chan string, 1)
	address := serve(t, func(conn net.Conn) {
		line, _ := bufio.NewReader(conn).ReadString('\n')
		requests <- line
	})
	d := &Dialer{Timeout: wait.Limit, Proxy: &url.URL{Scheme: "http", Host: address}}
	if _, err := d.Dial("tcp", "hub.invalid:443"); err == nil {
		t.Error("a proxy that closes the connection has opened a tunnel")
	}
	if have := <-requests; have != "CONNECT hub.invalid:443 HTTP/1.1\r\n" {
		t.Errorf("%q", have)
	}
}

// What the target sends with the answer of the proxy, in one packet, is not lost.
func TestDialer_KeepsWhatFollowsTheAnswer(t *testing.T) {
	address := serve(t, func(conn net.Conn) {
		for lines := bufio.NewScanner(conn); lines.Scan() && lines.Text() != ""; {
			continue
		}
		_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\nX-Proxy: 1\r\n\r\nhello\n")
		_, _ = io.Copy(conn, conn)
	})
	d := &Dialer{Timeout: wait.Limit, Proxy: &url.URL{Scheme: "http", Host: address}}
	conn, err := d.Dial("tcp", "hub.invalid:443")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := exchange(conn); err != nil {
		t.Error(err)
	}
}

func TestDialer_Errors(t *testing.T) {
	answer := func(text string) string {
		return serve(t, func(conn net.Conn) {
			_, _ = bufio.NewReader(conn).ReadString('\n')
			_, _ = io.WriteString(conn, text)
		})
	}
	password := proxy.New(proxy.Options{User: "edge", Password: "secret"})
	t.Cleanup(password.Close)
	forbids := proxy.New(proxy.Options{Refuse: 403})
	t.Cleanup(forbids.Close)
	silent := serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	for name, test := range map[string]struct{ proxy, want string }{
		"another password": {"http://edge:wrong@" + password.Address(), "requires another user and password"},
		"no password":      {"http://" + password.Address(), "requires another user and password"},
		"forbidden":        {"http://" + forbids.Address(), `it answered "403 Forbidden" to CONNECT 127.0.0.1:9`},
		"no target":        {"http://edge:secret@" + password.Address(), `it answered "502 Bad Gateway"`},
		"not HTTP":         {"http://" + answer("INFO {}\r\n"), "read its answer"},
		"endless answer":   {"http://" + answer("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)), "read its answer"},
		"no proxy":         {"http://127.0.0.1:9", "connection refused"},
		"no TLS":           {"https://" + forbids.Address(), "tls: "},
		"silent":           {"http://" + silent, "i/o timeout"},
		"silent with TLS":  {"https://" + silent, "i/o timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := ParseProxy(test.proxy)
			if err != nil {
				t.Fatal(err)
			}
			d := &Dialer{Timeout: wait.Limit, Proxy: u}
			if strings.HasPrefix(name, "silent") {
				d.Timeout = 100 * time.Millisecond
			}
			conn, err := d.Dial("tcp", "127.0.0.1:9")
			if err == nil {
				_ = conn.Close()
				t.Fatal("a connection was opened")
			}
			want := "proxy " + u.Scheme + "://" + u.Host + ": "
			if have := err.Error(); !strings.HasPrefix(have, want) || !strings.Contains(have, test.want) ||
				strings.Contains(have, "secret") || strings.Contains(have, "wrong") {
				t.Errorf("%s; want %s", have, test.want)
			}
		})
	}
}

// The caller need not limit how long the TLS handshake takes.
func TestDialer_ConnectionsHaveADeadline(t *testing.T) {
	silent := serve(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	conn, err := (&Dialer{Timeout: 100 * time.Millisecond}).Dial("tcp", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v", err)
	}
}

func TestParseProxy(t *testing.T) {
	for text, want := range map[string]string{
		"http://proxy:3128":                    "proxy:3128 http://proxy:3128",
		"http://proxy":                         "proxy:80 http://proxy",
		"https://user:p%40ss@proxy.example/":   "proxy.example:443 https://proxy.example",
		"http://[2001:db8::1]:3128":            "[2001:db8::1]:3128 http://[2001:db8::1]:3128",
		"https://[2001:db8::1]":                "[2001:db8::1]:443 https://[2001:db8::1]",
		"proxy:3128":                           "is not valid",
		"socks5://user:secret@proxy:1080":      `"socks5" is not a scheme of a proxy`,
		"http://user:secret@":                  "is not valid",
		"http://user:secret@:3128":             "is not valid",
		"http://user:sec%ret@proxy:3128":       "is not valid",
		"http://user:secret@proxy:port":        "is not valid",
		"http://user:secret@proxy:3128/secret": "has a path",
		"http://proxy:3128?secret":             "has a path",
		"":                                     "is not valid",
	} {
		t.Run(text, func(t *testing.T) {
			have := ""
			u, err := ParseProxy(text)
			if err != nil {
				have = err.Error()
			} else {
				have = proxyAddress(u) + " " + ShowProxy(u)
			}
			if !strings.Contains(have, want) || strings.Contains(have, "secret") {
				t.Errorf("%s; want %s", have, want)
			}
		})
	}
}
