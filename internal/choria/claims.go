package choria

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/muster-appliance/muster/internal/revocation"
	"github.com/segmentio/ksuid"
)

// Purposes of tokens.
const (
	PurposeServer = "choria_server"
	PurposeClient = "choria_client_id"
)

// maxTime is the expiry of a token or certificate that never expires.
var maxTime = time.Unix(maxSeconds, 0)

// Claims are the contents of a Choria token, a JWT, of a node or a client.
type Claims struct {
	jwt.RegisteredClaims
	Purpose         string           `json:"purpose"`
	Identity        string           `json:"identity,omitempty"` // nodes
	Collectives     []string         `json:"collectives,omitempty"`
	CallerID        string           `json:"callerid,omitempty"` // clients
	Agents          []string         `json:"agents,omitempty"`   // whose actions a client may run; "*": all
	Permissions     map[string]bool  `json:"permissions"`
	PubSubjects     []string         `json:"pub_subjects,omitempty"` // allowed beside those of the role
	SubSubjects     []string         `json:"sub_subjects,omitempty"` // allowed beside those of the role
	OrgUnit         string           `json:"ou"`                     // the organization, see Issuers
	PublicKey       string           `json:"public_key"`             // of the token's holder: ed25519, hex
	TrustChain      string           `json:"tcs,omitempty"`          // see Claims.chainIssuer
	IssuerExpiresAt *jwt.NumericDate `json:"issexp,omitempty"`
}

// ServerClaims returns the claims of a node of the organization "choria".
func ServerClaims(identity string, collectives []string, key ed25519.PublicKey) Claims {
	return Claims{
		Purpose: PurposeServer, Identity: identity, Collectives: collectives,
		OrgUnit: "choria", PublicKey: hex.EncodeToString(key),
	}
}

// ClientClaims returns the claims of a client of the organization "choria".
func ClientClaims(callerID string, key ed25519.PublicKey) Claims {
	return Claims{
		Purpose: PurposeClient, CallerID: callerID, OrgUnit: "choria", PublicKey: hex.EncodeToString(key),
	}
}

// IssueToken returns a token with the claims, signed by the organization's issuer and valid from
// now for the duration. The caller sets the purpose, the name and the public key in the claims;
// IssueToken sets the registered ones.
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

// Name returns the name of the token's holder: a node's identity or a client's caller id.
func (c *Claims) Name() string {
	if c.Purpose == PurposeClient {
		return c.CallerID
	}
	return c.Identity
}

// check returns an error if a claim is missing without which Muster cannot use the token.
func (c *Claims) check() error {
	switch {
	case c.Purpose != PurposeServer && c.Purpose != PurposeClient:
		return fmt.Errorf("the purpose of the token is %q, expected %s or %s", c.Purpose, PurposeServer, PurposeClient)
	case c.Name() == "":
		return errors.New("the token has no identity or caller id")
	}
	_, err := PublicKey(c.PublicKey)
	return err
}

// checkTime returns ErrExpired unless the token is valid at the time.
func (c *Claims) checkTime(now time.Time) error {
	from, till := c.lifetime()
	if now.Before(from) || !now.Before(till) {
		valid := fmt.Sprintf("from %s to %s", from.Format(time.RFC3339), till.Format(time.RFC3339))
		return fmt.Errorf("%w: the token is valid %s", ErrExpired, valid)
	}
	return nil
}

// Expires returns when the token is not valid any more; a time in the far future if it never expires.
func (c *Claims) Expires() time.Time {
	_, till := c.lifetime()
	return till
}

// checkRevoked returns ErrRevoked if the list has the token, its holder or its issuer.
func (c *Claims) checkRevoked(list *revocation.Tokens) error {
	var issued time.Time
	if c.IssuedAt != nil {
		issued = c.IssuedAt.Time
	}
	chain, key, _ := strings.Cut(strings.TrimPrefix(c.Issuer, chainPrefix), ".")
	key = strings.ToLower(key)
	chained := strings.HasPrefix(c.Issuer, chainPrefix)
	switch {
	case list.ID(c.ID):
		return fmt.Errorf("%w: the token %.64s of %.255s", ErrRevoked, c.ID, c.Name())
	case list.Identity(c.Name(), issued):
		return fmt.Errorf("%w: the tokens of %.255s", ErrRevoked, c.Name())
	case list.Issuer(c.OrgUnit), chained && (list.Issuer(chain) || list.Issuer(key) || list.ID(chain)):
		return fmt.Errorf("%w: the issuer of the token of %.255s", ErrRevoked, c.Name())
	}
	return nil
}

// lifetime returns the time from which the token is valid and the time at which it expires:
// maxTime if it never does.
func (c *Claims) lifetime() (from, till time.Time) {
	till = maxTime
	if c.NotBefore != nil {
		from = c.NotBefore.Time
	}
	for _, end := range []*jwt.NumericDate{c.ExpiresAt, c.IssuerExpiresAt} {
		if end != nil && end.Before(till) {
			till = end.Time
		}
	}
	return from, till
}

// CheckSignature returns ErrWrongSignature unless the signature, ed25519, is that of the token's
// key over the signed bytes. It shows that the signer holds the token's private key.
func (c *Claims) CheckSignature(signed, signature []byte) error {
	key, err := PublicKey(c.PublicKey)
	if err != nil || !ed25519.Verify(key, signed, signature) {
		return fmt.Errorf("%w: the signature was not made with the key of the token of %s", ErrWrongSignature, c.Name())
	}
	return nil
}
