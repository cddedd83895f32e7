package appliance_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

// apiCalls are calls of every kind to the console, about the node web1. Their number has no factor in
// common with those of workers and followers, so each is made.
var apiCalls = []string{
	"/api/v1/nodes/web1", "/api/v1/nodes/web1/diff", "/api/v1/events", "/api/v1/events?after=1&limit=1",
	"/api/v1/events?since=2026-01-01T00:00:00Z", "/api/v1/nodes", "/api/v1/nodes?format=inventory",
	"/api/v1/nodes?format=jsonl", "/api/v1/nodes?format=csv", "/api/v1/nodes?format=names",
	"/api/v1/nodes?format=flatfile", "/api/v1/nodes?sort=received&limit=1", "/api/v1/nodes?identity=/w.*/",
	"/api/v1/fleet", "/api/v1/streams", "/api/v1/rejected", "/metrics", "/choria/prometheus", "/readyz",
	"/choria/", "/choria/metrics", "/api/v1/permissions", "/subsz",
	"/healthz", "/varz", "/connz", "/jsz", "/api/v1/sites", "/api/v1/forward", "/api/v1/leafnodes",
}

// failingCalls are calls that end with an error of the client.
var failingCalls = []string{
	"/api/v1/nodes/unknown", "/api/v1/nodes/unknown/diff", "/api/v1/nodes?x=1", "/api/v1/events?after=x", "/api/v1/x",
}

func TestAPICalls_CoverTheAPI(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := regexp.MustCompile("(?m)^## `(/api/v1/[^`]*)`$").FindAllStringSubmatch(string(text), -1)
	if len(headings) < 7 {
		t.Fatalf("%d endpoints", len(headings))
	}
	for _, h := range headings {
		path := strings.ReplaceAll(h[1], "{name}", "web1")
		if !slices.ContainsFunc(apiCalls, func(call string) bool { c, _, _ := strings.Cut(call, "?"); return c == path }) {
			t.Errorf("%s is not among the calls", h[1])
		}
	}
}

func TestAppliance_CallsLeaveNothingBehind(t *testing.T) {
	calls := 2000
	if os.Getenv("MUSTER_TEST_LONG") != "" {
		calls = 10_000
	}
	if testing.Short() {
		calls = 200
	}
	a := testkit.Appliance(t, "")
	js := testkit.JetStream(t, a)
	for n := range 3 {
		_, raw := testkit.Registration(t, "web1", n, 10)
		if err := js.Conn().Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Settled(t, a, "registration", 3)
	awaitEvent(t, a)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	call := func(n int) {
		if n%20 == 0 {
			follow(t, client, a)
			return
		}
		path, failing := apiCalls[n%len(apiCalls)], n%7 == 6
		if failing {
			path = failingCalls[n%len(failingCalls)]
		}
		response, err := client.Get("http://" + a.ConsoleAddress() + path)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		if (response.StatusCode != http.StatusOK) != failing && n >= len(apiCalls) || response.StatusCode >= 500 {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
	for n := range apiCalls {
		call(n)
	}
	client.CloseIdleConnections()
	consumersBefore, goroutinesBefore := settledCounts(t, js)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := worker; n < calls; n += 4 {
				call(n)
			}
		})
	}
	wg.Wait()
	client.CloseIdleConnections()
	wait.Eventually(t, func() error {
		info, err := js.AccountInfo(t.Context())
		if err != nil {
			return err
		}
		if info.Consumers > consumersBefore {
			return fmt.Errorf("%d consumers, before the calls there were %d", info.Consumers, consumersBefore)
		}
		if n := runtime.NumGoroutine(); n > goroutinesBefore+5 { // those of tests in parallel and of the runtime
			return fmt.Errorf("%d goroutines, before the calls there were %d", n, goroutinesBefore)
		}
		return nil
	})
}

// awaitEvent waits until an event is stored.
func awaitEvent(t *testing.T, a *appliance.Appliance) {
	t.Helper()
	wait.Eventually(t, func() error {
		var page struct{ Last uint64 }
		if testkit.GetJSON(t, a, "/api/v1/events", &page); page.Last == 0 {
			return fmt.Errorf("no event")
		}
		return nil
	})
}

// follow follows events until it has read one.
func follow(t *testing.T, client *http.Client, a *appliance.Appliance) {
	request, err := http.NewRequest(http.MethodGet, "http://"+a.ConsoleAddress()+"/api/v1/events?after=0", nil)
	if err != nil {
		t.Error(err)
		return
	}
	request.Header.Set("Accept", "text/event-stream")
	response, err := client.Do(request)
	if err != nil {
		t.Error(err)
		return
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if len(lines.Text()) > 3 && lines.Text()[:3] == "id:" {
			return
		}
	}
	t.Error("the follower ended without an event")
}

// settledCounts returns the numbers of consumers and goroutines once they no longer change.
func settledCounts(t *testing.T, js jetstream.JetStream) (consumers, goroutines int) {
	t.Helper()
	wait.Eventually(t, func() error {
		info, err := js.AccountInfo(t.Context())
		if err != nil {
			return err
		}
		before, beforeGoroutines := consumers, goroutines
		consumers, goroutines = info.Consumers, runtime.NumGoroutine()
		if consumers != before || goroutines != beforeGoroutines {
			return fmt.Errorf("%d consumers, %d goroutines", consumers, goroutines)
		}
		return nil
	})
	return consumers, goroutines
}
