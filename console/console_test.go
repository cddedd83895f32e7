package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
)

// handlerOf answers from there, with metrics that are empty.
func handlerOf(from Sources) http.Handler {
	from.Metrics, from.Choria = prometheus.NewRegistry(), prometheus.NewRegistry()
	return handler(from, hclog.NewNullLogger())
}

func ask(t *testing.T, from Sources, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handlerOf(from).ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestReadyzGivesTheReasonsAsJSON(t *testing.T) {
	w := ask(t, Sources{Ready: func() []Reason {
		return []Reason{{Code: "stream-unwritable", What: "CHORIA_REGISTRATION", Detail: "no stream takes the subject"}}
	}}, "GET", "/readyz")
	want := `{"ready":false,"reasons":[{"code":"stream-unwritable","what":"CHORIA_REGISTRATION","detail":"no stream takes the subject"}]}`
	if w.Code != http.StatusServiceUnavailable || strings.TrimSpace(w.Body.String()) != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheConsoleChangesNothing(t *testing.T) {
	from := Sources{
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
	c := New(DefaultConfig(), Sources{Metrics: prometheus.NewRegistry(), Choria: prometheus.NewRegistry()}, hclog.NewNullLogger())
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
