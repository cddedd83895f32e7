package console

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

func TestReadyz_GivesReasonsAsJSON(t *testing.T) {
	w := request(newHandler(Options{NotReady: func() []Reason {
		return []Reason{{
			Code: "stream-unwritable", What: "CHORIA_REGISTRATION", Detail: "no stream stores the subject",
		}}
	}}), "GET", "/readyz")
	want := `{"ready":false,"reasons":[{"code":"stream-unwritable","what":"CHORIA_REGISTRATION",` +
		`"detail":"no stream stores the subject"}],"warnings":[]}`
	if w.Code != http.StatusServiceUnavailable || strings.TrimSpace(w.Body.String()) != want ||
		w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestReadyz_AnswersOKDespiteWarnings(t *testing.T) {
	w := request(newHandler(Options{
		NotReady: func() []Reason { return nil },
		Warnings: func() []Reason { return []Reason{{Code: "stream-lost", What: "S", Detail: "7 messages are missing"}} },
	}), "GET", "/readyz")
	want := `{"ready":true,"reasons":[],"warnings":[{"code":"stream-lost","what":"S","detail":"7 messages are missing"}]}`
	if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestConsole_IsReadOnly(t *testing.T) {
	varz := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("varz")) }
	h := newHandler(Options{
		NotReady: func() []Reason { return nil },
		NATS:     map[string]http.HandlerFunc{"/varz": varz},
	})
	for _, path := range []string{"/readyz", "/metrics", "/choria/", "/choria/metrics", "/choria/prometheus", "/varz"} {
		t.Run(path, func(t *testing.T) {
			if w := request(h, "GET", path); w.Code != http.StatusOK {
				t.Errorf("GET: %d", w.Code)
			}
			for _, method := range []string{"POST", "PUT", "DELETE"} {
				if w := request(h, method, path); w.Code != http.StatusMethodNotAllowed {
					t.Errorf("%s: %d", method, w.Code)
				}
			}
		})
	}
}

func TestConsole_CloseTwiceAndBeforeOpen(t *testing.T) {
	c := New(DefaultConfig(), complete(Options{}))
	for range 2 {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
