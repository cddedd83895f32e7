package choria

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/segmentio/ksuid"
)

// IssueToken makes a token out of the claims, signed by the issuer of an organization and valid
// from now on for the time given. Purpose, who it is for and its public key are the
// caller's to fill in.
func IssueToken(c Claims, issuer ed25519.PrivateKey, now time.Time, validity time.Duration) (string, error) {
	id, err := ksuid.NewRandomWithTime(now)
	if err != nil {
		return "", fmt.Errorf("make a token id: %w", err)
	}
	c.RegisteredClaims = jwt.RegisteredClaims{
		ID:        id.String(),
		Issuer:    "Muster",
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(validity)),
	}
	if c.Permissions == nil {
		c.Permissions = map[string]bool{}
	}
	return jwt.NewWithClaims(jwt.SigningMethodEdDSA, c).SignedString(issuer)
}

// ServerClaims are those of a node of the organization "choria".
func ServerClaims(identity string, collectives []string, key ed25519.PublicKey) Claims {
	return Claims{
		Purpose: PurposeServer, Identity: identity, Collectives: collectives,
		OrgUnit: "choria", PublicKey: hex.EncodeToString(key),
	}
}
