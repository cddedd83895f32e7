package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
)

// handlerOf answers from there, with metrics that are empty.
func handlerOf(from Options) http.Handler {
	from.Metrics, from.Choria = prometheus.NewRegistry(), prometheus.NewRegistry()
	from.Log = hclog.NewNullLogger()
	return handler(from)
}

func ask(t *testing.T, from Options, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handlerOf(from).ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestReadyzGivesTheReasonsAsJSON(t *testing.T) {
	w := ask(t, Options{Ready: func() []Reason {
		return []Reason{{Code: "stream-unwritable", What: "CHORIA_REGISTRATION", Detail: "no stream takes the subject"}}
	}}, "GET", "/readyz")
	want := `{"ready":false,"reasons":[{"code":"stream-unwritable","what":"CHORIA_REGISTRATION","detail":"no stream takes the subject"}]}`
	if w.Code != http.StatusServiceUnavailable || strings.TrimSpace(w.Body.String()) != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheConsoleChangesNothing(t *testing.T) {
	from := Options{
		Ready: func() []Reason { return nil },
		NATS:  map[string]http.HandlerFunc{"/varz": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("varz")) }},
	}
	for _, path := range []string{"/readyz", "/metrics", "/choria/prometheus", "/varz"} {
		if w := ask(t, from, "GET", path); w.Code != http.StatusOK {
			t.Errorf("GET %s: %d", path, w.Code)
		}
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			if w := ask(t, from, method, path); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
}

func TestCloseMayComeTwiceAndBeforeOpen(t *testing.T) {
	c := New(DefaultConfig(), Options{Log: hclog.NewNullLogger(), Metrics: prometheus.NewRegistry(), Choria: prometheus.NewRegistry()})
	for range 2 {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
