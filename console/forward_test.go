package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/uplink"
)

func TestAPI_Forward(t *testing.T) {
	hubs := func() []forward.Status {
		return []forward.Status{{
			Hub: "central", Servers: []string{"tls://hub.example.net:4222"},
			Streams: map[string]uplink.Stream{"S": {Mode: "all", Read: 3, Pending: 3}},
		}}
	}
	for name, test := range map[string]struct {
		opts Options
		want string
	}{
		"not an edge": {Options{}, `{"hubs":[]}`},
		"an edge without a fleet view": {Options{Forward: hubs},
			`"streams":{"S":{"mode":"all","read":3,"forwarded":0,`},
	} {
		t.Run(name, func(t *testing.T) {
			w := request(newHandler(test.opts), http.MethodGet, "/api/v1/forward")
			if have := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(have, test.want) {
				t.Errorf("%d %s; want %s", w.Code, have, test.want)
			}
		})
	}
}
