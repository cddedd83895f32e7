package adapter

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/inproc"
)

// newJudging returns an adapter with a mode of verify that is not open.
func newJudging(t *testing.T, mode, format string) *Adapter {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Verify, cfg.Stream.Format = mode, format
	return New(*cfg, Options{Verifier: captureVerifier(t), Now: time.Now})
}

// arrive converts a captured message and refuses it if it is stale.
func arrive(t *testing.T, a *Adapter, file, user string, received time.Time) *message {
	t.Helper()
	m := &message{raw: capture(t, file+".transport.json"), received: received, peer: inproc.Peer{User: user}}
	a.convert(m, &choria.Parser{})
	if m.reason == "" {
		a.refuseStale(m)
	}
	return m
}

func TestRefuseStale_JudgesVerifiedMessagesOnly(t *testing.T) {
	received := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		file, mode string
		stale      bool
	}{
		{"v1-mtls/registration-file", verifyRequire, true},
		{"v1-mtls/registration-file", verifyRecord, true},
		{"v1-mtls/registration-file", verifyOff, false},
		{"v2-issuer/registration-file", verifyRequire, true},
		{"v1-insecure/registration-file", verifyRecord, false},
		{"v1-mtls/registration-file-wrong-cert", verifyRecord, false},
	} {
		t.Run(test.file+" "+test.mode, func(t *testing.T) {
			a := newJudging(t, test.mode, "choria")
			if m := arrive(t, a, test.file, "", received); m.reason != "" {
				t.Fatalf("%s: %s", m.reason, m.detail)
			}
			m := arrive(t, a, test.file, "", received)
			if stale := m.reason == contract.ReasonStale; stale != test.stale || stale != (m.out == nil) {
				t.Errorf("reason %q, %s", m.reason, m.detail)
			}
			if known := len(a.signedTimes.senders) > 0; known != test.stale {
				t.Errorf("remembered: %v", a.signedTimes.senders)
			}
		})
	}
}

// TestRefuseStale_UnverifiedMessagesMoveNothing has a forged message with a later time arrive first.
func TestRefuseStale_UnverifiedMessagesMoveNothing(t *testing.T) {
	received := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	a := newJudging(t, verifyRecord, "choria")
	forged := arrive(t, a, "v1-mtls/registration-file-wrong-cert", "", received)
	m := arrive(t, a, "v1-mtls/registration-file", "", received)
	if forged.reason != "" || forged.verified || m.reason != "" || len(a.signedTimes.senders) != 1 {
		t.Errorf("%+v, %+v", forged, m)
	}
}

func TestRefuseStale_AcceptsAndNotesAClockThatWasSetBack(t *testing.T) {
	const file = "v1-mtls/registration-file"
	received := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, format := range []string{"choria", "plain"} {
		t.Run(format, func(t *testing.T) {
			a := newJudging(t, verifyRequire, format)
			first := arrive(t, a, file, "", received)
			if first.reason != "" || strings.Contains(string(first.out.header()), contract.HeaderNewest) {
				t.Fatalf("%s %s", first.reason, first.out.header())
			}
			newest := received.Add(time.Hour)
			a.signedTimes.restore(first.sender, newest)
			if m := arrive(t, a, file, "another.example.net", received); m.reason != contract.ReasonStale {
				t.Errorf("over another connection: %q", m.reason)
			}
			m := arrive(t, a, file, first.sender, received)
			if m.reason != "" || a.ledger.stats.SetBack != 1 || a.ledger.stats.lastSetBack != m.sender {
				t.Fatalf("%s: %+v", m.reason, a.ledger.stats)
			}
			want := strings.TrimSuffix(string(first.out.header()), "\r\n") +
				contract.HeaderNewest + ": " + formatTime(newest) + "\r\n\r\n"
			if string(m.out.header()) != want || string(m.out.data()) != string(first.out.data()) {
				t.Errorf("header %q, want %q", m.out.header(), want)
			}
		})
	}
}
