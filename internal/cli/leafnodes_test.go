package cli

import (
	"testing"
	"time"

	"github.com/muster-appliance/muster/console"
)

func TestLeafnodeText(t *testing.T) {
	since := time.Now().Add(-2 * time.Minute)
	for want, l := range map[string]console.Leafnode{
		"NOT CONNECTED, to tls://hub:7422; requests of its clients cross: Authorization Violation": {
			Remote: true, URLs: []string{"tls://hub:7422"}, Allow: "clients", Error: "Authorization Violation",
		},
		"connected since 2 minutes ago, from 192.0.2.1; requests to its nodes cross, 3 messages received, 7 sent, " +
			"round trip 1.5ms": {
			Allow: "nodes", Connected: true, Since: since, Address: "192.0.2.1", Received: 3, Sent: 7, RoundTripMS: 1.52,
		},
		"NOT CONNECTED; requests cross both ways": {Allow: "both"},
	} {
		if have := leafnodeText(l); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
}
