package adapter

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

func capture(t testing.TB, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile("../internal/choria/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// captureVerifier returns a verifier that trusts the CA and the issuer of the captures.
func captureVerifier(t testing.TB) *choria.Verifier {
	t.Helper()
	key, err := choria.PublicKey(strings.TrimSpace(string(capture(t, "creds/issuer.public"))))
	if err != nil {
		t.Fatal(err)
	}
	v := choria.NewVerifier(choria.NewTokenVerifier(choria.Issuers{"choria": key}, choria.Signers{}))
	block, _ := pem.Decode(capture(t, "creds/ca.pem"))
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	v.Trust([]*x509.Certificate{ca}, nil)
	return v
}

// convertCapture converts a captured message with a mode of verify.
func convertCapture(t *testing.T, file, mode string, v *choria.Verifier, received time.Time) *message {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Verify = mode
	a := New(*cfg, Options{Verifier: v, Now: time.Now})
	m := &message{raw: capture(t, file+".transport.json"), received: received}
	a.convert(m, &choria.Parser{})
	return m
}

func TestVerify_Modes(t *testing.T) {
	noTrust := choria.NewVerifier(choria.NewTokenVerifier(nil, choria.Signers{}))
	// What the verifier finds if it trusts the CA and the issuer.
	for file, found := range map[string]string{
		"v1-mtls/registration-file":            "x509",
		"v1-mtls/registration-inventory":       "x509",
		"v1-plaintext/registration-file":       "x509",
		"v1-mtls/registration-file-wrong-cert": contract.ReasonWrongName,
		"v1-anon-jwt/registration-file":        contract.ReasonUnsigned,
		"v1-insecure/registration-file":        contract.ReasonUnsigned,
		"v2-issuer/registration-file":          "jwt",
		"v2-issuer/registration-file-chain":    "jwt",
		"v2-issuer/rpc-direct-request":         contract.ReasonUntrusted, // signed by a client
	} {
		verified := found == "x509" || found == "jwt"
		received := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		for _, test := range []struct {
			mode     string
			verified string
			reject   bool
		}{
			{verifyRequire, found, !verified},
			{verifyAuto, found, !verified},
			{verifyRecord, found, false},
			{verifyOff, "off", false},
		} {
			t.Run(file+" "+test.mode, func(t *testing.T) {
				m := convertCapture(t, file, test.mode, captureVerifier(t), received)
				if test.reject {
					if m.reason != found || m.out != nil {
						t.Errorf("rejected as %q, want %q", m.reason, found)
					}
					return
				}
				if m.out == nil || verifiedHeader(t, m) != test.verified {
					t.Errorf("%s: %v, want %s", m.reason, m.out, test.verified)
				}
			})
		}
		// With nothing to trust, auto stores the message with the reason, and require rejects it.
		for mode, stored := range map[string]bool{verifyAuto: true, verifyRequire: false} {
			t.Run(file+" "+mode+" without trust", func(t *testing.T) {
				m := convertCapture(t, file, mode, noTrust, time.Now())
				if (m.out != nil) != stored {
					t.Errorf("reason %q", m.reason)
				}
				reasons := contract.ReasonUntrusted + " " + contract.ReasonUnsigned
				if stored && !strings.Contains(reasons, verifiedHeader(t, m)) {
					t.Errorf("header %v", string(m.out.header()))
				}
			})
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

func TestVerify_ChecksValidityAtReception(t *testing.T) {
	for _, file := range []string{"v1-mtls/registration-file", "v2-issuer/registration-file"} {
		for at, want := range map[time.Time]string{
			time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC):   contract.ReasonExpired, // the CA is valid from 2024
			time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC): "",
			time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC):   contract.ReasonExpired,
		} {
			t.Run(file+" "+at.Format(time.DateOnly), func(t *testing.T) {
				m := convertCapture(t, file, verifyRequire, captureVerifier(t), at)
				if m.reason != want {
					t.Errorf("reason %q, want %q: %s", m.reason, want, m.detail)
				}
			})
		}
	}
}

func TestAdapter_HintsForRejectedMessages(t *testing.T) {
	for _, test := range []struct{ verify, bind, reason, hint string }{
		{verifyAuto, bindAuto, contract.ReasonUnsigned, `[adapter.registration] verify = "record"`},
		{verifyRequire, bindAuto, contract.ReasonUnsigned, ""},
		{verifyAuto, bindAuto, contract.ReasonUntrusted, ""},
		{verifyAuto, bindAuto, contract.ReasonWrongConnection, "[adapter.registration] bind_sender = false"},
		{verifyAuto, bindAuto, contract.ReasonWrongConnection, "set identity in the node's server.conf"},
		{verifyAuto, bindAuto, contract.ReasonWrongName, "set identity in the node's server.conf"},
		{verifyAuto, bindTrue, contract.ReasonWrongConnection, "set identity in the node's server.conf"},
	} {
		t.Run(test.verify+" "+test.bind+" "+test.reason, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Verify, cfg.BindSender = test.verify, test.bind
			hint := New(*cfg, Options{}).hintFor(test.reason)
			if (hint == "") != (test.hint == "") || !strings.Contains(hint, test.hint) {
				t.Errorf("hint %q", hint)
			}
		})
	}
}
