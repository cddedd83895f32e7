package choria

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/ksuid"
)

// chainPrefix begins the "iss" claim of a token that a Chain Issuer signed; the whole claim is
// C-<id of the Chain Issuer>.<its public key in hex>.
const chainPrefix = "C-"

// Issuers are the public keys of organizations. The keys of the map are their names, the "ou"
// claim of the tokens.
type Issuers map[string]ed25519.PublicKey

// signingKey returns the key that must have signed the token: the organization's, or that of a
// Chain Issuer that the organization has signed.
func (i Issuers) signingKey(c *Claims) (ed25519.PublicKey, error) {
	organization, known := i[c.OrgUnit]
	if !known {
		return nil, fmt.Errorf("unknown issuer %q", c.OrgUnit)
	}
	if strings.HasPrefix(c.Issuer, chainPrefix) {
		return c.chainIssuer(organization)
	}
	if c.TrustChain != "" && c.Purpose == PurposeServer {
		return nil, errors.New("a node's token has a trust chain but is not from a Chain Issuer")
	}
	return organization, nil
}

// chainIssuer returns the public key of the Chain Issuer after it has verified both signatures of
// the trust chain, which is <signature 1>.<signature 2> in hex:
//
//  1. by the organization, over "<id of the Chain Issuer>.<its public key>"
//  2. by the Chain Issuer, over "<id of the token>.<signature 1>"
func (c *Claims) chainIssuer(organization ed25519.PublicKey) (ed25519.PublicKey, error) {
	if c.PublicKey == "" || c.IssuedAt == nil || c.ExpiresAt == nil || c.IssuerExpiresAt == nil {
		return nil, errors.New("a chained token lacks public_key, iat, exp or issexp")
	}
	id, err := ksuid.Parse(c.ID)
	if err != nil || !id.Time().Equal(c.IssuedAt.Time) {
		return nil, errors.New("jti is not a KSUID with the time of iat")
	}
	issuerID, keyText, ok := strings.Cut(strings.TrimPrefix(c.Issuer, chainPrefix), ".")
	if !ok {
		return nil, errors.New("iss does not name a Chain Issuer")
	}
	key, err := PublicKey(keyText)
	if err != nil {
		return nil, fmt.Errorf("iss: %w", err)
	}
	byOrganization, byIssuer, ok := strings.Cut(c.TrustChain, ".")
	if !ok {
		return nil, errors.New("tcs does not hold two signatures")
	}
	if !verifyHex(organization, issuerID+"."+keyText, byOrganization) {
		return nil, errors.New("tcs: the Chain Issuer is not signed by the organization")
	}
	if !verifyHex(key, c.ID+"."+byOrganization, byIssuer) {
		return nil, errors.New("tcs: the token is not signed by the Chain Issuer")
	}
	return key, nil
}

// verifyHex reports whether the signature, in hex, is that of the key over the text.
func verifyHex(key ed25519.PublicKey, text, signature string) bool {
	decoded, err := hex.DecodeString(signature)
	return err == nil && ed25519.Verify(key, []byte(text), decoded)
}
