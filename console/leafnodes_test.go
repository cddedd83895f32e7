package console

import (
	"net/http"
	"strings"
	"testing"
)

func TestAPI_Leafnodes(t *testing.T) {
	links := func() []Leafnode {
		return []Leafnode{{Name: "hub", Remote: true, URLs: []string{"tls://hub:7422"}, Allow: "clients", Error: "refused"}}
	}
	for name, test := range map[string]struct {
		opts Options
		want string
	}{
		"none": {Options{}, `{"leafnodes":[]}`},
		"a link without a fleet view": {Options{Leafnodes: links}, `{"leafnodes":[{"name":"hub","remote":true,` +
			`"urls":["tls://hub:7422"],"allow":"clients","connected":false,"round_trip_ms":0,"received":0,"sent":0,` +
			`"error":"refused"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := request(newHandler(test.opts), http.MethodGet, "/api/v1/leafnodes")
			if have := strings.TrimSpace(w.Body.String()); w.Code != http.StatusOK || have != test.want {
				t.Errorf("%d %s; want %s", w.Code, have, test.want)
			}
		})
	}
}
