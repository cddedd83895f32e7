package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func TestBacklogLimits_Excess(t *testing.T) {
	limits := backlogLimits{one: 50, total: 100}
	cases := []struct {
		name string
		list string // identity or, in brackets, address; and how much waits
		want string // the same, of those to end
	}{
		{"nothing waits", "", ""},
		{"within the limits", "a 50, b 50", ""},
		{"a connection exceeds its limit", "a 51, b 50, c 50", "a 51"},
		{"what is ended does not count toward the total", "a 500, b 50, c 50", "a 500"},
		{"the identity with most", "a 50, b 40, c 20", "a 50"},
		{"an identity with many connections", "a 20, a 20, a 20, a 20, b 45", "a 20, a 20"},
		{"its largest connection", "a 10, a 40, a 30, b 45", "a 40"},
		{"no more than needed", "a 40, b 39, c 22", "a 40"},
		{"none with less than an equal share", "a 50, b 50, c 50, d 10, e 10", "a 50, b 50"},
		{"addresses without an identity", "[1] 40, [1] 40, a 30, [2] 30", "[1] 40"},
		{"an address is not an identity", "[a] 40, a 40, b 30", "[a] 40"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var list []backlog
			for _, text := range strings.Split(c.list, ", ") {
				b := backlog{ConnInfo: &server.ConnInfo{Name: "x"}}
				if _, err := fmt.Sscan(text, &b.identity, &b.Pending); err != nil {
					continue
				}
				if strings.HasPrefix(b.identity, "[") {
					b.IP, b.identity = b.identity, ""
				}
				list = append(list, b)
			}
			var have []string
			for _, e := range limits.excess(list) {
				have = append(have, fmt.Sprintf("%s%s %d", e.identity, e.IP, e.Pending))
				if own := errors.Is(e.reason, errBacklog); own != (e.Pending > 50) {
					t.Errorf("%d: %v", e.Pending, e.reason)
				}
			}
			if want := strings.Split(c.want, ", "); !slices.Equal(have, want) && c.want+strings.Join(have, "") != "" {
				t.Errorf("ended %q, want %q", have, want)
			}
		})
	}
}

func TestBroker_BacklogLimits(t *testing.T) {
	const mebi = 1 << 20
	for _, c := range []struct{ configured, payload, one, total int64 }{
		{0, mebi, 64 * mebi, 64 * mebi},
		{256 * mebi, mebi, 64 * mebi, 256 * mebi},
		{0, 64 * mebi, 128 * mebi, 256 * mebi},
	} {
		b := &Broker{cfg: Config{MaxPayload: c.payload}, opts: Options{MaxClientBacklog: c.configured}}
		if have := b.backlogLimits(); have != (backlogLimits{c.one, c.total}) {
			t.Errorf("%+v: %+v", c, have)
		}
	}
}
