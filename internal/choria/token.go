package choria

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/segmentio/ksuid"
)

// purposeServer is the purpose of a node's token.
const purposeServer = "choria_server"

// ServerClaims are what a node's token says.
type ServerClaims struct {
	jwt.RegisteredClaims
	Purpose     string          `json:"purpose"`
	Identity    string          `json:"identity"`
	Collectives []string        `json:"collectives"`
	Permissions map[string]bool `json:"permissions"`
	OrgUnit     string          `json:"ou"`
	PublicKey   string          `json:"public_key"` // hex
}

// IssueServerToken makes a token for the node that holds the key, signed by the issuer of
// the organization "choria" and valid from now on for the time given.
func IssueServerToken(identity string, collectives []string, key ed25519.PublicKey, issuer ed25519.PrivateKey, now time.Time, validity time.Duration) (string, error) {
	id, err := ksuid.NewRandomWithTime(now)
	if err != nil {
		return "", fmt.Errorf("make a token id: %w", err)
	}
	return jwt.NewWithClaims(jwt.SigningMethodEdDSA, ServerClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID:        id.String(),
			Issuer:    "Muster",
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(validity)),
		},
		Purpose:     purposeServer,
		Identity:    identity,
		Collectives: collectives,
		Permissions: map[string]bool{},
		OrgUnit:     "choria",
		PublicKey:   hex.EncodeToString(key),
	}).SignedString(issuer)
}
