package choria

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/segmentio/ksuid"
)

func TestTokenVerifier_VerifiesTrustChain(t *testing.T) {
	key, err := PublicKey(string(read(t, "creds/issuer.public")))
	if err != nil {
		t.Fatal(err)
	}
	tokens := NewTokenVerifier(Issuers{"choria": key}, Signers{})
	for _, file := range []string{
		"issuer-node1", "issuer-node4-chain", "issuer-chain", "issuer-rip", "issuer-bob-chain",
	} {
		t.Run(file, func(t *testing.T) {
			text := strings.TrimSpace(string(read(t, "creds/"+file+".jwt")))
			claims, err := tokens.Verify(text, validTime)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "-chain") && file != "issuer-chain" {
				checkChain(t, claims, key)
			}
			_, err = NewTokenVerifier(Issuers{"other": key}, Signers{}).Verify(text, validTime)
			checkError(t, err, ErrUntrusted) // of another organization
		})
	}
}

// checkChain checks that a chain is not accepted when any of its links is broken.
func checkChain(t *testing.T, claims *Claims, organization ed25519.PublicKey) {
	t.Helper()
	if _, err := claims.chainIssuer(organization); err != nil {
		t.Fatal(err)
	}
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	byOrganization, byIssuer, _ := strings.Cut(claims.TrustChain, ".")
	for name, edit := range map[string]func(*Claims){
		"no key":           func(c *Claims) { c.PublicKey = "" },
		"no iat":           func(c *Claims) { c.IssuedAt = nil },
		"no exp":           func(c *Claims) { c.ExpiresAt = nil },
		"no issexp":        func(c *Claims) { c.IssuerExpiresAt = nil },
		"jti not KSUID":    func(c *Claims) { c.ID = "x" },
		"other jti":        func(c *Claims) { c.ID = "3MUlxXPuAFZd8tY2AXJu8upoX9Q" },
		"iat moved":        func(c *Claims) { c.IssuedAt.Time = c.IssuedAt.Add(time.Second) },
		"other iss":        func(c *Claims) { c.Issuer = "C-x." + strings.Split(c.Issuer, ".")[1] },
		"iss without key":  func(c *Claims) { c.Issuer = "C-x" },
		"iss with bad key": func(c *Claims) { c.Issuer = "C-x.y" },
		"other issuer key": func(c *Claims) {
			c.Issuer = fmt.Sprintf("%s.%x", strings.Split(c.Issuer, ".")[0], other.Public())
		},
		"one signature": func(c *Claims) { c.TrustChain = byOrganization },
		"second twice":  func(c *Claims) { c.TrustChain = byIssuer + "." + byIssuer },
		"first twice":   func(c *Claims) { c.TrustChain = byOrganization + "." + byOrganization },
		"not hex":       func(c *Claims) { c.TrustChain = "x.y" },
	} {
		t.Run(name, func(t *testing.T) {
			changed := *claims
			issued := *claims.IssuedAt
			changed.IssuedAt = &issued
			edit(&changed)
			if _, err := changed.chainIssuer(organization); err == nil {
				t.Error("the chain was accepted")
			}
		})
	}
}

// chain holds the keys of an organization and of a Chain Issuer, and a node's public key.
type chain struct {
	organization, issuer ed25519.PrivateKey
	node                 ed25519.PublicKey
}

func newChain() chain {
	_, organization, _ := ed25519.GenerateKey(rand.Reader)
	_, issuer, _ := ed25519.GenerateKey(rand.Reader)
	node, _, _ := ed25519.GenerateKey(rand.Reader)
	return chain{organization, issuer, node}
}

// token returns a valid chained token with the claims as edit changes them.
func (c chain) token(t *testing.T, edit func(*Claims)) string {
	t.Helper()
	id, err := ksuid.NewRandomWithTime(validTime)
	if err != nil {
		t.Fatal(err)
	}
	claims := ServerClaims("web1", []string{"choria"}, c.node)
	claims.RegisteredClaims = jwt.RegisteredClaims{
		ID: id.String(), IssuedAt: jwt.NewNumericDate(id.Time()), ExpiresAt: jwt.NewNumericDate(validTime.Add(time.Hour)),
	}
	claims.IssuerExpiresAt = jwt.NewNumericDate(validTime.Add(2 * time.Hour))
	edit(&claims)
	key := fmt.Sprintf("%x", c.issuer.Public())
	byOrganization := fmt.Sprintf("%x", ed25519.Sign(c.organization, []byte("issuer."+key)))
	byIssuer := fmt.Sprintf("%x", ed25519.Sign(c.issuer, []byte(claims.ID+"."+byOrganization)))
	claims.Issuer, claims.TrustChain = "C-issuer."+key, byOrganization+"."+byIssuer
	text, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(c.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTokenVerifier_RequiresClaimsOfChainedTokens(t *testing.T) {
	past := jwt.NewNumericDate(validTime.Add(-time.Second))
	c := newChain()
	tokens := NewTokenVerifier(Issuers{"choria": c.organization.Public().(ed25519.PublicKey)}, Signers{})
	for name, test := range map[string]struct {
		edit func(*Claims)
		want error
	}{
		"complete":             {func(*Claims) {}, nil},
		"id not a KSUID":       {func(c *Claims) { c.ID = "x" }, ErrUntrusted},
		"id of another time":   {func(c *Claims) { c.IssuedAt = past }, ErrUntrusted},
		"no time of issue":     {func(c *Claims) { c.IssuedAt = nil }, ErrUntrusted},
		"no expiry":            {func(c *Claims) { c.ExpiresAt = nil }, ErrUntrusted},
		"no expiry of issuer":  {func(c *Claims) { c.IssuerExpiresAt = nil }, ErrUntrusted},
		"issuer expired":       {func(c *Claims) { c.IssuerExpiresAt = past }, ErrExpired},
		"expired":              {func(c *Claims) { c.ExpiresAt = past }, ErrExpired},
		"no identity":          {func(c *Claims) { c.Identity = "" }, ErrUntrusted},
		"another organization": {func(c *Claims) { c.OrgUnit = "x" }, ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tokens.Verify(c.token(t, test.edit), validTime)
			checkError(t, err, test.want)
		})
	}
	other := newChain()
	otherTokens := NewTokenVerifier(Issuers{"choria": other.organization.Public().(ed25519.PublicKey)}, Signers{})
	if _, err := otherTokens.Verify(c.token(t, func(*Claims) {}), validTime); !errors.Is(err, ErrUntrusted) {
		t.Errorf("under another organization: %v", err)
	}
}
