package console

import (
	"net/http"
	"testing"
)

// The NATS server allows every web page to read its answers; the console must not.
func TestWithoutCORS(t *testing.T) {
	allow := func(w http.ResponseWriter) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "*")
		w.Header().Set("Content-Type", "application/json")
	}
	h := newHandler(Options{NATS: map[string]http.HandlerFunc{
		"/connz": func(w http.ResponseWriter, _ *http.Request) {
			allow(w)
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte("{}"))
		},
		"/varz": func(w http.ResponseWriter, _ *http.Request) {
			allow(w)
			_, _ = w.Write([]byte("{}"))
		},
	}})
	for path, status := range map[string]int{"/connz": http.StatusTeapot, "/varz": http.StatusOK} {
		t.Run(path, func(t *testing.T) {
			w := request(h, http.MethodGet, path)
			for name := range w.Header() {
				if name != "Content-Type" {
					t.Errorf("%s: %s", name, w.Header().Get(name))
				}
			}
			if w.Code != status || w.Body.String() != "{}" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}
