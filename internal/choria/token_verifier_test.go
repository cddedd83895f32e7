package choria

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestTokenVerifier_TrustsSignersWithoutIssuers(t *testing.T) {
	public, signer, _ := ed25519.GenerateKey(rand.Reader)
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	holder, _, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	node, client := ServerClaims("web1", nil, holder), clientClaims("choria=rip", nil, holder)
	provisioning := Claims{Purpose: "choria_provisioning", Identity: "x", PublicKey: node.PublicKey}
	withRSA := func(c Claims) string {
		t.Helper()
		text, err := jwt.NewWithClaims(jwt.SigningMethodRS256, c).SignedString(rsaKey)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	issued := func(c Claims, key ed25519.PrivateKey) string {
		t.Helper()
		text, err := IssueToken(c, key, validTime, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	both := Signers{Server: []crypto.PublicKey{rsaKey.Public(), public}}
	for name, test := range map[string]struct {
		signers Signers
		token   string
		want    error
	}{
		"second of two":     {both, issued(node, signer), nil},
		"RSA":               {both, withRSA(node), nil},
		"unknown signer":    {both, issued(node, other), ErrUntrusted},
		"no client signer":  {both, issued(client, signer), ErrUntrusted},
		"client signer":     {Signers{Client: []crypto.PublicKey{public}}, issued(client, signer), nil},
		"no signer":         {Signers{}, issued(node, signer), ErrUntrusted},
		"without a name":    {both, issued(ServerClaims("", nil, holder), signer), ErrUntrusted},
		"without a key":     {both, issued(ServerClaims("web1", nil, nil), signer), ErrUntrusted},
		"another purpose":   {both, issued(provisioning, signer), ErrUntrusted},
		"RSA for an issuer": {Signers{}, withRSA(node), ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := NewTokenVerifier(nil, test.signers)
			if name == "RSA for an issuer" {
				tokens = NewTokenVerifier(Issuers{"choria": public}, Signers{})
			}
			_, err := tokens.Verify(test.token, validTime)
			checkError(t, err, test.want)
		})
	}
}

func TestTokenVerifier_VerifiesCapturedSigner(t *testing.T) {
	key, err := PublicKey(strings.TrimSpace(string(read(t, "creds/v1-anon-signer.public"))))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(string(read(t, "creds/v1-anon-node1.jwt")))
	claims, err := NewTokenVerifier(nil, Signers{Server: []crypto.PublicKey{key}}).Verify(text, validTime)
	if err != nil || claims.Name() != "node1.example.net" {
		t.Errorf("%+v %v", claims, err)
	}
}

func TestTokenPurpose(t *testing.T) {
	for text, want := range map[string]string{
		strings.TrimSpace(string(read(t, "creds/v1-anon-node1.jwt"))): PurposeServer,
		"x": "", // not a token
	} {
		if have := TokenPurpose(text); have != want {
			t.Errorf("%q: have %q, want %q", text, have, want)
		}
	}
}
