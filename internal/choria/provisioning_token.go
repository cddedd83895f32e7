package choria

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// PurposeProvisioning is the purpose of the tokens that nodes present which have no identity yet. Many nodes share one,
// and it has no key: it proves no name.
const PurposeProvisioning = "choria_provisioning"

// VerifyProvisioning returns the claims of a provisioning token that is valid at the time. The signature must be that
// of one of Signers.Provisioning or, if it is ed25519, may be that of the issuer of the organization in the token. The
// error wraps ErrExpired, ErrRevoked, ErrUntrusted or ErrLimit. Nothing is cached, so that such a token never
// counts as that of a node or client.
func (t *TokenVerifier) VerifyProvisioning(text string, now time.Time) (*Claims, error) {
	if len(text) > maxTokenBytes {
		return nil, fmt.Errorf("%w: a token of more than %d bytes", ErrLimit, maxTokenBytes)
	}
	text = strings.TrimSpace(text) // a server presents the file as it is, with its last line feed
	if strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: token: it contains a line feed", ErrUntrusted)
	}
	var claims Claims
	methods := []jwt.SigningMethod{
		jwt.SigningMethodEdDSA, jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512,
	}
	err := parseClaims(text, &claims, methods, now, func(token *jwt.Token) (any, error) {
		return t.provisioningKey(&claims, token.Method)
	})
	if err != nil {
		return nil, err
	}
	if err := t.CheckClaims(&claims, now); err != nil {
		return nil, err
	}
	return &claims, nil
}

// provisioningKey returns the key that must have signed a provisioning token, or a jwt.VerificationKeySet of which one
// must have.
func (t *TokenVerifier) provisioningKey(c *Claims, method jwt.SigningMethod) (any, error) {
	if c.purpose() != PurposeProvisioning {
		return nil, fmt.Errorf("the purpose of the token is %q, expected %s", c.Purpose, PurposeProvisioning)
	}
	keys := slices.Clone(t.signers.Provisioning)
	issuer, known := t.issuers[c.OrgUnit]
	if known && method == jwt.SigningMethodEdDSA {
		keys = append(keys, issuer)
	}
	if len(keys) > 0 {
		return keySet(keys), nil
	}
	if len(t.issuers) > 0 && !known {
		return nil, fmt.Errorf("unknown issuer %q", c.OrgUnit)
	}
	return nil, errors.New("no signer of provisioning tokens is configured")
}

// purpose returns the purpose of the token. Old provisioning tokens have it as their subject only.
func (c *Claims) purpose() string {
	if c.Purpose == "" && c.Subject == PurposeProvisioning {
		return PurposeProvisioning
	}
	return c.Purpose
}

func keySet(keys []crypto.PublicKey) (set jwt.VerificationKeySet) {
	for _, key := range keys {
		set.Keys = append(set.Keys, key)
	}
	return set
}
