package broker

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/tlsfile"
	"github.com/nats-io/nats.go"
	"github.com/segmentio/ksuid"
)

// userNkey returns the option to present a text as nkey.
func userNkey(text string) nats.Option {
	return nats.Nkey(text, func([]byte) ([]byte, error) { return nil, nil })
}

// TestAuthenticator_RefusesCertificatesWithoutName has patterns that match any name, also an empty one.
// The server would report the user that such a connection chooses.
func TestAuthenticator_RefusesCertificatesWithoutName(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"administrator": func(cfg *Config) { cfg.Roles.Admin = []string{"*"} },
		"client":        func(cfg *Config) { cfg.Roles.Client = []string{"*"} },
	} {
		t.Run(name, func(t *testing.T) {
			s := openSite(t, edit)
			nameless := s.ca.Client(func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = "", nil }, "web1")
			s.mustRefuse(t, "bad-sender", nats.Secure(nameless), nats.UserInfo("web2", "x"))
		})
	}
}

// capturedToken returns the content of a file that was captured from Choria.
func capturedToken(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("../internal/choria/testdata/creds/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestAuthenticator_RefusesReplayedSignature(t *testing.T) {
	s := openSite(t, nil)
	good := s.node("web1.example.net")
	token := func() (string, error) { return good.token, nil }
	var captured []byte
	nc, err := s.connect(s.anonymous(), nats.Token(good.token), nats.UserJWT(token, func(nonce []byte) ([]byte, error) {
		captured = ed25519.Sign(good.key, nonce)
		return captured, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	replay := nats.UserJWT(token, func([]byte) ([]byte, error) { return captured, nil })
	s.mustRefuse(t, "wrong-signature", s.anonymous(), nats.Token(good.token), replay)
}

// The key of the captured token is not available, so the nonce cannot be signed: a trusted
// token gets as far as that check, and another one does not.
func TestAuthenticator_VerifiesRealTrustChain(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	captured := holder{capturedToken(t, "issuer-node4-chain.jwt"), key}
	t.Run("its organization", func(t *testing.T) {
		issuer, err := choria.PublicKey(capturedToken(t, "issuer.public"))
		if err != nil {
			t.Fatal(err)
		}
		s := openSite(t, func(c *Config) { c.Issuers = choria.Issuers{"choria": issuer} })
		s.mustRefuse(t, "wrong-signature", s.withToken(captured)...)
	})
	t.Run("another organization", func(t *testing.T) {
		s := openSite(t, nil)
		s.mustRefuse(t, "untrusted", s.withToken(captured)...)
	})
}

func TestAuthenticator_ChainedTokenExpiresWithItsIssuer(t *testing.T) {
	s := openSite(t, nil)
	chained := func(issuerEnds time.Time) holder {
		t.Helper()
		_, issuer, _ := ed25519.GenerateKey(rand.Reader)
		public, key, _ := ed25519.GenerateKey(rand.Reader)
		id := ksuid.New()
		issuerKey := hex.EncodeToString(issuer.Public().(ed25519.PublicKey))
		vouched := hex.EncodeToString(ed25519.Sign(s.issuer, []byte("issuer."+issuerKey)))
		claims := choria.ServerClaims("web1", []string{"choria"}, public)
		claims.RegisteredClaims = jwt.RegisteredClaims{
			ID: id.String(), Issuer: "C-issuer." + issuerKey,
			IssuedAt: jwt.NewNumericDate(id.Time()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
		}
		claims.IssuerExpiresAt = jwt.NewNumericDate(issuerEnds)
		claims.TrustChain = vouched + "." + hex.EncodeToString(ed25519.Sign(issuer, []byte(id.String()+"."+vouched)))
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(issuer)
		if err != nil {
			t.Fatal(err)
		}
		return holder{token, key}
	}
	nc, err := s.connect(s.withToken(chained(time.Now().Add(time.Hour)))...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if user := s.user(t, nc); user != "web1" {
		t.Errorf("admitted as %q", user)
	}
	s.mustRefuse(t, "expired", s.withToken(chained(time.Now().Add(-time.Minute)))...)
}

func TestAuthenticator_ClientHosts(t *testing.T) {
	t.Run("other hosts", func(t *testing.T) {
		s := openSite(t, func(c *Config) { c.ClientHosts = prefixes("192.0.2.0/24", "192.0.3.1/32") })
		for name, options := range map[string][]nats.Option{
			"certificate":   {s.certificate("rip.mcollective")},
			"administrator": {s.certificate("root.example.net")},
			"token":         s.withToken(s.client("choria=rip", "org_admin")),
		} {
			t.Run(name, func(t *testing.T) { s.mustRefuse(t, "wrong-host", options...) })
		}
		nc, err := s.connect(s.certificate("web1"))
		if err != nil {
			t.Fatalf("a node: %v", err)
		}
		nc.Close()
	})
	t.Run("this host", func(t *testing.T) {
		s := openSite(t, func(c *Config) { c.ClientHosts = prefixes("127.0.0.0/8") })
		nc, err := s.connect(s.certificate("rip.mcollective"))
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	})
}

func TestAuthenticator_DenyServers(t *testing.T) {
	s := openSite(t, func(c *Config) { c.ClientHosts, c.DenyServers = prefixes("127.0.0.0/8"), true })
	nc, err := s.connect(s.certificate("rip.mcollective"))
	if err != nil {
		t.Fatalf("a client: %v", err)
	}
	nc.Close()
	s.mustRefuse(t, "servers-denied", s.certificate("web1"))
	s.mustRefuse(t, "servers-denied", s.withToken(s.node("web1"))...)
}

func TestAuthenticator_AcceptsSigners(t *testing.T) {
	public, signer, _ := ed25519.GenerateKey(rand.Reader)
	s := openSite(t, func(c *Config) {
		c.Issuers = nil
		c.Signers.Server = []SignerKey{{Key: public}}
		c.TLS.CA = "" // certificates prove nothing
	})
	claims := choria.ServerClaims("web1.example.net", []string{"choria"}, nil)
	nc, err := s.connect(s.withToken(issue(t, claims, signer, time.Now()))...)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	s.mustRefuse(t, "untrusted", s.withToken(s.client("choria=rip"))...) // there is no signer for clients
	s.mustRefuse(t, "no-credentials", s.certificate("web1"))             // there is no CA
}

func TestAuthenticator_AcceptsTokensWithoutTLS(t *testing.T) {
	s := openSite(t, func(c *Config) { c.TLS = tlsfile.Files{} })
	connect := func(options ...nats.Option) error {
		nc, err := nats.Connect("nats://"+s.broker.Address(), append(options, nats.NoReconnect())...)
		if nc != nil {
			nc.Close()
		}
		return err
	}
	if err := connect(s.node("web1").options()...); err != nil {
		t.Error(err)
	}
	if connect() == nil || connect(nats.Token("x")) == nil {
		t.Error("admitted without a token")
	}
	want := s.broker.auth.refusals.snapshot()
	want["no-tls"]++
	if connect(nats.UserInfo("system", "secret")) == nil {
		t.Error("the broker accepts a password that was sent unencrypted")
	}
	s.wantRefused(t, want, "no-tls")
}

func TestAuthenticator_RefusesGuessedSecret(t *testing.T) {
	b := openBroker(t)
	accept(t, b)
	b.RefuseNew() // now only internal connections are admitted
	for name, token := range map[string]string{
		"empty": "", "short": "x", "lower case": strings.ToLower(b.auth.internalSecret),
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := nats.Connect(b.Address(), nats.Token(token)); err == nil {
				c.Close()
				t.Error("admitted")
			}
		})
	}
}

// Validate refuses this configuration; a Config built by hand must not open the broker either.
func TestAuthenticator_CAWithoutTLSIsNotALab(t *testing.T) {
	s := openSite(t, func(c *Config) { c.TLS, c.Issuers = tlsfile.Files{CA: c.TLS.CA}, nil })
	if nc, err := nats.Connect("nats://"+s.broker.Address(), nats.NoReconnect()); err == nil {
		nc.Close()
		t.Error("admitted without proof")
	}
	if have := s.broker.auth.refusals.snapshot()["no-credentials"]; have != 1 {
		t.Errorf("counted %d", have)
	}
}
