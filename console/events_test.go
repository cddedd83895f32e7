package console

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/fleet"
	"github.com/prometheus/client_golang/prometheus"
)

// endless is a stream of events that never ends, and tells when a follower is given up.
type endless struct {
	two
	reason string
	given  chan error
}

func (e endless) FollowEvents(ctx context.Context, after uint64, take func(*fleet.Event) error) error {
	if after == fleet.OnlyNew {
		after = 0
	}
	for n := after + 1; ctx.Err() == nil; n++ {
		if err := take(&fleet.Event{Event: "down", Node: "db1", Sequence: n, Reason: e.reason}); err != nil {
			e.given <- err
			return err
		}
	}
	return ctx.Err()
}

// follow asks a server for events.
func follow(t *testing.T, url, lastID string, query ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/events"+strings.Join(query, ""), nil)
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

func TestWhoDoesNotReadEventsIsDroppedAndNobodyElse(t *testing.T) {
	e := endless{reason: strings.Repeat("x", 64<<10), given: make(chan error, 10)}
	mux, places := http.NewServeMux(), make(chan struct{}, 2)
	api{fleet: e, changes: e, followers: places, patience: 500 * time.Millisecond}.register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	deaf, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deaf.Close() })
	if _, err := fmt.Fprintf(deaf, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: %s\r\n\r\n", eventStream); err != nil {
		t.Fatal(err)
	}
	response := follow(t, server.URL, "41", "?after=5") // as a browser comes again
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
	for len(places) < 2 {
		time.Sleep(time.Millisecond)
	}
	for _, query := range []string{"?since=2026-11-25T10:00:00Z", "?limit=5"} { // those are of a page
		if response := follow(t, server.URL, "41", query); response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", query, response.Status)
		}
	}
	full := follow(t, server.URL, "")
	if full.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("with no place left: %s", full.Status)
	}
	read()
	for given := false; !given; read() { // the other reads on meanwhile
		select {
		case <-e.given:
			given = true
		default:
		}
	}
	if next < 100 {
		t.Errorf("only %d events were read until the other was dropped", next)
	}
	for again := 0; ; again++ { // its place is free
		if response := follow(t, server.URL, ""); response.StatusCode == http.StatusOK {
			break
		}
		if again == 100 {
			t.Fatal("its place is not free")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestFollowersEndWithTheConsole(t *testing.T) {
	e := endless{given: make(chan error, 1)}
	c := New(Config{Listen: "127.0.0.1:0"}, Options{
		Log: hclog.NewNullLogger(), Ready: func() []Reason { return nil }, Metrics: prometheus.NewRegistry(), Choria: prometheus.NewRegistry(), Fleet: e, Events: silent{},
	})
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	response := follow(t, "http://"+c.Address(), "")
	if kind := response.Header.Get("Content-Type"); kind != eventStream {
		t.Errorf("%s", kind)
	}
	if err := c.Close(context.Background()); err != nil { // which waits for answers that are not finished
		t.Errorf("a follower holds up the stop: %v", err)
	}
}

// silent is a stream to which no event comes.
type silent struct{ two }

func (silent) FollowEvents(ctx context.Context, _ uint64, _ func(*fleet.Event) error) error {
	<-ctx.Done()
	return ctx.Err()
}
