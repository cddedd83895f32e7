package apiclient

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
)

func TestClient_Errors(t *testing.T) {
	c := open(t, options())
	noToken := New(Options{URL: c.URL()})
	noFleet := options()
	noFleet.Fleet = nil
	ctx := t.Context()
	for name, test := range map[string]struct {
		err    func() error
		code   string
		status int
	}{
		"unknown node": {
			func() error { _, err := c.Node(ctx, fleet.NodeID{Name: "nosuch"}); return err }, console.CodeNotFound, 404,
		},
		"name of two nodes": {
			func() error { _, err := c.Diff(ctx, fleet.NodeID{Name: "two"}); return err }, console.CodeAmbiguousNode, 409,
		},
		"bad request": {
			func() error { _, err := c.Nodes(ctx, NodeQuery{States: []string{"dead"}}); return err },
			console.CodeBadRequest, 400,
		},
		"no token": {
			func() error { _, err := noToken.Ready(ctx); return err }, console.CodeUnauthorized, 401,
		},
		"no fleet view": {
			func() error { _, err := open(t, noFleet).Fleet(ctx); return err }, console.CodeFleetDisabled, 404,
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.err()
			var answer *Error
			if !errors.As(err, &answer) || answer.Code != test.code || answer.Status != test.status ||
				answer.Message == "" || !HasCode(err, test.code) || HasCode(err, "another") {
				t.Errorf("%#v", err)
			}
		})
	}
}

// listen accepts connections and handles each; nil: reads and never answers.
func listen(t *testing.T, handle func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if handle != nil {
				handle(conn)
			}
			go func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestClient_ConnectionErrors(t *testing.T) {
	nats := listen(t, func(conn net.Conn) { _, _ = conn.Write([]byte("INFO {\"server_id\":\"x\"}\r\n")) })
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for name, test := range map[string]struct {
		url  string
		kind Kind
		text string
	}{
		"nothing listens": {"http://127.0.0.1:1", Unreachable, "no appliance answers at http://127.0.0.1:1 (dial tcp"},
		"silent":          {listen(t, nil), Timeout, "did not answer within 50ms: the appliance hangs or is overloaded"},
		"not HTTP":        {nats, NotHTTP, "does not use HTTP"},
		"HTTPS": {
			strings.Replace(secure.URL, "https", "http", 1), ServerUsesHTTPS, "uses HTTPS",
		},
		"another server": {other.URL, NotConsole, "answered 404 Not Found; is it the console of an appliance?"},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := DefaultTimeout
			if test.kind == Timeout {
				timeout = 50 * time.Millisecond
			}
			c := New(Options{URL: test.url, Timeout: timeout})
			for endpoint, get := range map[string]func(context.Context) error{
				"fleet":  func(ctx context.Context) error { _, err := c.Fleet(ctx); return err },
				"readyz": func(ctx context.Context) error { _, err := c.Ready(ctx); return err },
				"events": func(ctx context.Context) error {
					return c.FollowEvents(ctx, 0, func(*fleet.Event) error { return nil })
				},
			} {
				err := get(t.Context())
				var connection *ConnectionError
				if !errors.As(err, &connection) || connection.Kind != test.kind || !strings.Contains(err.Error(), test.text) {
					t.Errorf("%s: %v", endpoint, err)
				}
			}
		})
	}
}

func TestClient_ContextIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := open(t, options()).Fleet(ctx)
	if !errors.Is(err, context.Canceled) || errors.As(err, new(*ConnectionError)) {
		t.Errorf("%v", err)
	}
}
