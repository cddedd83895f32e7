package adapter

import (
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

func capture(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile("../internal/choria/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// captured trusts those under whom the captures were made.
func captured(t *testing.T) *choria.Verifier {
	t.Helper()
	key, err := choria.PublicKey(strings.TrimSpace(string(capture(t, "creds/issuer.public"))))
	if err != nil {
		t.Fatal(err)
	}
	v := choria.NewVerifier(choria.NewTokenVerifier(choria.Issuers{"choria": key}, choria.Signers{}))
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(capture(t, "creds/ca.pem")) {
		t.Fatal("no CA")
	}
	v.TrustRoots(roots)
	return v
}

func TestWhatBecomesOfAMessageInEachMode(t *testing.T) {
	// What is found where there is somebody to trust.
	found := map[string]string{
		"v1-mtls/registration-file":            "x509",
		"v1-mtls/registration-inventory":       "x509",
		"v1-plaintext/registration-file":       "x509",
		"v1-mtls/registration-file-wrong-cert": "wrong-name",
		"v1-anon-jwt/registration-file":        "unsigned",
		"v1-insecure/registration-file":        "unsigned",
		"v2-issuer/registration-file":          "jwt",
		"v2-issuer/registration-file-chain":    "jwt",
		"v2-issuer/rpc-direct-request":         "untrusted", // a client's
	}
	nobody := choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{}))
	for file, want := range found {
		raw := capture(t, file+".transport.json")
		proved := want == "x509" || want == "jwt"
		for _, test := range []struct {
			mode     string
			verifier *choria.Verifier
			verified string
			reason   string
		}{
			{verifyRequire, captured(t), want, want},
			{verifyAuto, captured(t), want, want},
			{verifyRecord, captured(t), want, ""},
			{verifyOff, captured(t), "off", ""},
		} {
			cfg := DefaultConfig()
			cfg.Verify = test.mode
			a := New(*cfg, Options{Verifier: test.verifier, Now: time.Now})
			m := &message{raw: raw, received: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
			a.convert(m, &choria.Parser{})
			if test.reason != "" && !proved {
				if m.reason != test.reason || m.out != nil {
					t.Errorf("%s, %s: rejected as %q, want %q", file, test.mode, m.reason, test.reason)
				}
				continue
			}
			if m.out == nil || verifiedHeader(t, m) != test.verified {
				t.Errorf("%s, %s: %s: %v, want %s", file, test.mode, m.reason, m.out, test.verified)
			}
		}
		// Where there is nobody to trust, auto stores and says so, and require does not.
		for mode, stored := range map[string]bool{verifyAuto: true, verifyRequire: false} {
			cfg := DefaultConfig()
			cfg.Verify = mode
			a := New(*cfg, Options{Verifier: nobody, Now: time.Now})
			m := &message{raw: raw, received: time.Now()}
			a.convert(m, &choria.Parser{})
			if (m.out != nil) != stored {
				t.Errorf("%s, %s against nothing: %q", file, mode, m.reason)
			}
			if why := "untrusted unsigned"; stored && !strings.Contains(why, verifiedHeader(t, m)) {
				t.Errorf("%s, %s against nothing: %v", file, mode, string(m.out.header()))
			}
		}
	}
}

func verifiedHeader(t *testing.T, m *message) string {
	t.Helper()
	h, err := nats.DecodeHeadersMsg(m.out.header())
	if err != nil {
		t.Fatal(err)
	}
	return h.Get(contract.HeaderVerified)
}

func TestValidityIsJudgedWhenTheMessageCame(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Verify = verifyRequire
	a := New(*cfg, Options{Verifier: captured(t), Now: time.Now})
	for _, file := range []string{"v1-mtls/registration-file", "v2-issuer/registration-file"} {
		for at, want := range map[time.Time]string{
			time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC):   "expired",
			time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC): "",
			time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC):   "expired",
		} {
			m := &message{raw: capture(t, file+".transport.json"), received: at}
			a.convert(m, &choria.Parser{})
			// Protocol 1 was captured under a CA that is valid from 2024 on.
			if m.reason != want {
				t.Errorf("%s at %s: %q, want %q: %s", file, at, m.reason, want, m.detail)
			}
		}
	}
}

func TestWhoDoesNotSignByDesignIsToldTheCure(t *testing.T) {
	for _, test := range []struct {
		mode, reason string
		said         bool
	}{{verifyAuto, "unsigned", true}, {verifyRequire, "unsigned", false}, {verifyAuto, "untrusted", false}} {
		cfg := DefaultConfig()
		cfg.Verify = test.mode
		cure := New(*cfg, Options{}).cure(test.reason)
		if said := strings.Contains(cure, `[adapter.registration] verify = "record"`); said != test.said {
			t.Errorf("%s, %s: %q", test.mode, test.reason, cure)
		}
	}
}
