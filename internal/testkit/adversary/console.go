package adversary

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// console opens connections to the console, writes the text to each, and holds them without reading.
func (a *Adversary) console(connections int, text string) (n int, err error) {
	for range connections {
		conn, failed := net.DialTimeout("tcp", a.o.Console, dialTimeout)
		if failed != nil {
			err = failed
			continue
		}
		a.hold(conn)
		if _, failed := io.WriteString(conn, text); failed != nil {
			err = failed
			continue
		}
		n++
	}
	return n, err
}

func (a *Adversary) consoleIdle(context.Context) (int, error) {
	return a.console(heldConnections, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

func (a *Adversary) consoleSlow(context.Context) (int, error) {
	return a.console(heldConnections, "GET /api/v1/nodes HTTP/1.1\r\nHost: localhost\r\nX: ")
}

// consoleFollowers follow events and ask for inventories, and read nothing.
func (a *Adversary) consoleFollowers(context.Context) (int, error) {
	followers, err := a.console(heldConnections,
		"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
	inventories, failed := a.console(heldConnections/4,
		"GET /api/v1/nodes?format=inventory HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err == nil {
		err = failed
	}
	return followers + inventories, err
}

// consoleRequests asks for everything about honest nodes and itself, and for what does not exist.
func (a *Adversary) consoleRequests(ctx context.Context) (n int, err error) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: dialTimeout}
	defer client.CloseIdleConnections()
	victim := a.victim()
	for _, path := range []string{
		"/api/v1/nodes/" + victim, "/api/v1/nodes/" + victim + "/diff",
		"/api/v1/nodes/" + Name, "/api/v1/nodes/" + Name + "/diff",
		"/api/v1/nodes?identity=/" + strings.Repeat("(a*)*", 20) + "/", "/api/v1/nodes?limit=1000",
		"/api/v1/events?limit=10000", "/api/v1/rejected", "/connz?subs=1", "/jsz?consumers=1&config=1",
		"/" + strings.Repeat("x", 30_000),
	} {
		url := fmt.Sprintf("http://%s%s", a.o.Console, path)
		request, failed := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if failed != nil {
			return n, failed
		}
		response, failed := client.Do(request)
		if failed != nil {
			err = failed
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		n++
	}
	return n, err
}
