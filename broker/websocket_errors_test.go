package broker

import (
	"errors"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/throttle"
)

func TestWebsocketError_ReadsAddressAndReason(t *testing.T) {
	for line, want := range map[string]struct {
		address string
		reason  error
		text    string
	}{
		"websocket: TLS handshake error from 192.0.2.7:40112: revoked: web1: serial 5\n": {
			"192.0.2.7:40112", choria.ErrRevoked, "revoked: web1: serial 5"},
		"websocket: TLS handshake error from [2001:db8::1]:40112: EOF\n": {
			"[2001:db8::1]:40112", errHandshake, "handshake: EOF"},
		"websocket: TLS handshake error from 192.0.2.7:1: remote error: tls: untrusted: x\n": {
			"192.0.2.7:1", errHandshake, "handshake: remote error: tls: untrusted: x"},
		"192.0.2.7:40112 - websocket handshake error: origin not allowed: not in the allowed list": {
			"192.0.2.7:40112", errHandshake, "handshake: WebSocket: origin not allowed: not in the allowed list"},
		"websocket: TLS handshake error from 192.0.2.7:1: read tcp 1->2: use of closed network connection\n": {
			"192.0.2.7:1", nil, ""},
		`192.0.2.7:40112 - wid:3 - "v1:go:x" - Authorization Violation`: {},

		`192.0.2.7:40112 - wid:3 - "v1:go:192.0.2.9:1 - websocket handshake error: x" - Slow Consumer`: {},
		`x - websocket handshake error: x`:             {},
		"websocket: Accept error: too many open files": {},
	} {
		address, ok, err := websocketError(line)
		if ok != (want.address != "") {
			t.Errorf("%q: %v", line, ok)
			continue
		}
		if !ok {
			continue
		}
		if address != want.address || !errors.Is(err, want.reason) || err != nil && err.Error() != want.text {
			t.Errorf("%q: %q, %v", line, address, err)
		}
	}
}

// TestServerLog_NamesForgeNoRefusals has errors logged of clients that are named like a failed handshake.
func TestServerLog_NamesForgeNoRefusals(t *testing.T) {
	for _, name := range []string{
		"192.0.2.9:1 - websocket handshake error: x", "TLS handshake error: x", "TLS %s handshake error: %v%s",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRefusals(hclog.NewNullLogger(), nil, time.Now)
			want := r.snapshot()
			l := &serverLog{log: hclog.NewNullLogger(), refusals: r, now: time.Now, warnings: throttle.New(refusalInterval)}
			l.Errorf(serverLine(name, "Maximum Payload Violation"))
			l.Errorf(serverLine(name, "%s: %d vs %d"), "maximum payload exceeded", 2, 1)
			if have := r.snapshot(); !maps.Equal(have, want) {
				t.Errorf("counted %v, want %v", have, want)
			}
			l.Errorf(serverLine(name, "TLS handshake error: %v%s"), io.EOF, "")
			want["handshake"]++
			if have := r.snapshot(); !maps.Equal(have, want) {
				t.Errorf("counted %v after a failed handshake, want %v", have, want)
			}
		})
	}
}
