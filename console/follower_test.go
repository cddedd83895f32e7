package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// endlessEvents is a stream of events that never ends.
type endlessEvents struct {
	twoNodes
	reason  string
	dropped chan error // receives the error that ended a follower
}

func (e endlessEvents) FollowEvents(ctx context.Context, after uint64, take func(*fleet.Event) error) error {
	if after == fleet.OnlyNew {
		after = 0
	}
	for n := after + 1; ctx.Err() == nil; n++ {
		if err := take(&fleet.Event{Event: "down", Node: "db1", Sequence: n, Reason: e.reason}); err != nil {
			e.dropped <- err
			return err
		}
	}
	return ctx.Err()
}

// noEvents is a stream of events that stays empty.
type noEvents struct{ twoNodes }

func (noEvents) FollowEvents(ctx context.Context, _ uint64, _ func(*fleet.Event) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// follow sends a request for server-sent events.
func follow(t *testing.T, url, lastID string, query ...string) *http.Response {
	t.Helper()
	address := url + "/api/v1/events" + strings.Join(query, "")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", eventStream)
	request.Header.Set("Last-Event-ID", lastID)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// serveEvents serves the API with room for two followers and a short write timeout.
func serveEvents(t *testing.T, e endlessEvents) (a *api, url string) {
	t.Helper()
	mux := http.NewServeMux()
	a = &api{
		opts:      complete(Options{Fleet: e, Events: e}),
		followers: make(chan struct{}, 2), writeTimeout: 500 * time.Millisecond,
	}
	a.register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return a, server.URL
}

func TestFollower_OnlySlowClientIsDisconnected(t *testing.T) {
	t.Parallel()
	e := endlessEvents{reason: strings.Repeat("x", 64<<10), dropped: make(chan error, 10)}
	a, url := serveEvents(t, e)
	slow, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")) // never reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slow.Close() })
	head := "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: " + eventStream + "\r\n\r\n"
	if _, err := slow.Write([]byte(head)); err != nil {
		t.Fatal(err)
	}
	response := follow(t, url, "41", "?after=5") // as a browser reconnects: the header wins
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	next := 42
	read := func() {
		for lines.Scan() {
			if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				if id != fmt.Sprint(next) {
					t.Fatalf("event %s; want %d", id, next)
				}
				next++
				return
			}
		}
		t.Fatal(lines.Err())
	}
	read()
	wait.Eventually(t, func() error {
		if n := len(a.followers); n < 2 {
			return fmt.Errorf("%d followers", n)
		}
		return nil
	})
	full := follow(t, url, "")
	if full.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("with no room left: %s", full.Status)
	}
	read()
	for dropped := false; !dropped; read() { // meanwhile the other client reads on
		select {
		case err := <-e.dropped:
			dropped = err != nil
		default:
		}
	}
	if next < 100 {
		t.Errorf("only %d events were read until the slow client was dropped", next)
	}
	wait.Eventually(t, func() error {
		if response := follow(t, url, ""); response.StatusCode != http.StatusOK {
			return errors.New("the place of the slow client is not free: " + response.Status)
		}
		return nil
	})
}

func TestFollower_RefusesParametersOfPages(t *testing.T) {
	t.Parallel()
	_, url := serveEvents(t, endlessEvents{dropped: make(chan error, 10)})
	for _, query := range []string{"?since=2026-11-25T10:00:00Z", "?limit=5"} {
		t.Run(query, func(t *testing.T) {
			if response := follow(t, url, "41", query); response.StatusCode != http.StatusBadRequest {
				t.Error(response.Status)
			}
		})
	}
}

func TestFollower_EndsWhenTheConsoleCloses(t *testing.T) {
	t.Parallel()
	c := New(Config{Listen: "127.0.0.1:0"}, complete(Options{
		NotReady: func() []Reason { return nil }, Fleet: twoNodes{}, Events: noEvents{},
	}))
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	response := follow(t, "http://"+c.Address(), "")
	if kind := response.Header.Get("Content-Type"); kind != eventStream {
		t.Errorf("%s", kind)
	}
	if err := c.Close(context.Background()); err != nil { // Close waits for unfinished answers
		t.Errorf("a follower delays the stop: %v", err)
	}
}
