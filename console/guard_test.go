package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestGuard_RequiresToken(t *testing.T) {
	const token = "a token that is long enough"
	refused := func(string, *http.Request) {}
	h := requireToken(token, refused, newHandler(Options{
		NotReady: func() []Reason { return nil }, Fleet: twoNodes{}, Events: twoNodes{},
	}))
	for _, test := range []struct {
		name, header string
		admitted     bool
	}{
		{"no header", "", false},
		{"no scheme", token, false},
		{"no token", "Bearer", false},
		{"empty token", "Bearer ", false},
		{"another scheme", "Basic " + token, false},
		{"longer token", "Bearer x" + token, false},
		{"shorter token", "Bearer " + token[1:], false},
		{"token", "Bearer " + token, true},
		{"lower-case scheme", "bearer " + token, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/api/v1/fleet", "/api/v1/nodes", "/metrics", "/readyz", "/nowhere"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				if test.header != "" {
					r.Header.Set("Authorization", test.header)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				refused := w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "Bearer" &&
					strings.Contains(w.Body.String(), `{"code":"unauthorized","error":"the console requires its token`)
				if refused == test.admitted {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
		})
	}
}
