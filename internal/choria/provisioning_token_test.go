package choria

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/muster-appliance/muster/internal/revocation"
)

func TestTokenVerifier_VerifiesProvisioningTokens(t *testing.T) {
	public, issuer, _ := ed25519.GenerateKey(rand.Reader)
	otherPublic, other, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claims := Claims{Purpose: PurposeProvisioning, OrgUnit: "choria"}
	signed := func(c Claims, key ed25519.PrivateKey) string {
		t.Helper()
		text, err := IssueToken(c, key, validTime, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	withRSA, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	withHMAC, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(public))
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	issuers, elsewhere := Issuers{"choria": public}, Claims{Purpose: PurposeProvisioning, OrgUnit: "x"}
	signers := Signers{Provisioning: []crypto.PublicKey{otherPublic, rsaKey.Public()}}
	holder, third, _ := ed25519.GenerateKey(rand.Reader)
	for name, test := range map[string]struct {
		issuers Issuers
		signers Signers
		token   string
		want    error
	}{
		"issuer":                    {issuers, Signers{}, signed(claims, issuer), nil},
		"issuer beside signers":     {issuers, signers, signed(claims, issuer), nil},
		"RSA beside issuer":         {issuers, signers, withRSA, nil},
		"ed25519 of signer":         {nil, signers, signed(claims, other), nil},
		"ed25519 beside issuer":     {issuers, signers, signed(claims, other), nil},
		"ed25519 of other place":    {issuers, signers, signed(elsewhere, other), nil},
		"neither signer nor issuer": {issuers, signers, signed(claims, third), ErrUntrusted},
		"issuer of other place":     {issuers, signers, signed(elsewhere, issuer), ErrUntrusted},
		"RSA without signer":        {issuers, Signers{}, withRSA, ErrUntrusted},
		"stranger":                  {issuers, Signers{}, signed(claims, other), ErrUntrusted},
		"another organization":      {issuers, Signers{}, signed(elsewhere, issuer), ErrUntrusted},
		"no organization":           {issuers, Signers{}, signed(Claims{Purpose: PurposeProvisioning}, issuer), ErrUntrusted},
		"a node's":                  {issuers, Signers{}, signed(ServerClaims("web1", nil, holder), issuer), ErrUntrusted},
		"signers of nodes":          {nil, Signers{Server: []crypto.PublicKey{public}}, signed(claims, issuer), ErrUntrusted},
		"no signature":              {issuers, signers, unsigned, ErrUntrusted},
		"public key as HMAC secret": {issuers, signers, withHMAC, ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewTokenVerifier(test.issuers, test.signers).VerifyProvisioning(test.token, validTime)
			checkError(t, err, test.want)
		})
	}
}

// TestTokenVerifier_KeepsProvisioningTokensApart verifies a provisioning token as that of a node, before and after it
// was accepted. A message of any node may contain one.
func TestTokenVerifier_KeepsProvisioningTokensApart(t *testing.T) {
	public, issuer, _ := ed25519.GenerateKey(rand.Reader)
	token, err := IssueToken(Claims{Purpose: PurposeProvisioning, OrgUnit: "choria"}, issuer, validTime, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	tokens := NewTokenVerifier(Issuers{"choria": public}, Signers{})
	for range 2 {
		_, err = tokens.Verify(token, validTime)
		checkError(t, err, ErrUntrusted)
		claims, err := tokens.VerifyProvisioning(token, validTime)
		checkError(t, err, nil)
		if claims.Name() != "" {
			t.Errorf("the token has the name %q", claims.Name())
		}
	}
	_, err = tokens.VerifyProvisioning(token, validTime.Add(2*time.Hour))
	checkError(t, err, ErrExpired)
	list, err := revocation.ParseTokens("token " + TokenID(token) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	tokens.Revoke(list)
	_, err = tokens.VerifyProvisioning(token, validTime)
	checkError(t, err, ErrRevoked)
}
