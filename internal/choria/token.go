package choria

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/segmentio/ksuid"
)

// Purposes of tokens.
const (
	PurposeServer = "choria_server"
	PurposeClient = "choria_client_id"
)

// chained begins the issuer of a token that a Chain Issuer signed: C-<its id>.<its key>.
const chained = "C-"

// Claims are what a token of a node or a client says.
type Claims struct {
	jwt.RegisteredClaims
	Purpose     string           `json:"purpose"`
	Identity    string           `json:"identity,omitempty"` // nodes
	CallerID    string           `json:"callerid,omitempty"` // clients
	Collectives []string         `json:"collectives,omitempty"`
	Permissions map[string]bool  `json:"permissions"`
	OrgUnit     string           `json:"ou"`
	PublicKey   string           `json:"public_key"` // hex ed25519, of who holds the token
	TrustChain  string           `json:"tcs,omitempty"`
	IssuerEnds  *jwt.NumericDate `json:"issexp,omitempty"`
}

// Issuers are the public keys of organizations, by the name that tokens give as "ou".
type Issuers map[string]ed25519.PublicKey

// Token reads a token and checks that an issuer, or a Chain Issuer of one, signed it and
// that it is valid at the time. The error is ErrExpired or ErrUntrusted.
func (i Issuers) Token(text string, now time.Time) (*Claims, error) {
	var claims Claims
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithTimeFunc(func() time.Time { return now }),
		jwt.WithStrictDecoding(),
	)
	_, err := parser.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return i.signer(&claims) })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet):
		return nil, fmt.Errorf("%w: token: %w", ErrExpired, err)
	case err != nil:
		return nil, fmt.Errorf("%w: token: %w", ErrUntrusted, err)
	case claims.IssuerEnds != nil && !now.Before(claims.IssuerEnds.Time):
		return nil, fmt.Errorf("%w: the token of the Chain Issuer", ErrExpired)
	}
	return &claims, nil
}

// signer is the key that must have signed the token: the organization's, or that of a
// Chain Issuer whom the organization vouches for.
func (i Issuers) signer(c *Claims) (ed25519.PublicKey, error) {
	organization, known := i[c.OrgUnit]
	if !known {
		return nil, fmt.Errorf("no issuer %q", c.OrgUnit)
	}
	if strings.HasPrefix(c.Issuer, chained) {
		return c.chainIssuer(organization)
	}
	if c.TrustChain != "" && c.Purpose == PurposeServer {
		return nil, errors.New("a node's token with a trust chain, and not from a Chain Issuer")
	}
	return organization, nil
}

// chainIssuer is the key of the Chain Issuer, once both signatures of the trust chain hold:
// the organization's over the Chain Issuer, and the Chain Issuer's over this token.
func (c *Claims) chainIssuer(organization ed25519.PublicKey) (ed25519.PublicKey, error) {
	if c.PublicKey == "" || c.IssuedAt == nil || c.ExpiresAt == nil || c.IssuerEnds == nil {
		return nil, errors.New("a chained token lacks public_key, iat, exp or issexp")
	}
	id, err := ksuid.Parse(c.ID)
	if err != nil || !id.Time().Equal(c.IssuedAt.Time) {
		return nil, errors.New("jti is no KSUID of the time in iat")
	}
	issuerID, keyText, ok := strings.Cut(strings.TrimPrefix(c.Issuer, chained), ".")
	if !ok {
		return nil, errors.New("iss names no Chain Issuer")
	}
	key, err := PublicKey(keyText)
	if err != nil {
		return nil, fmt.Errorf("iss: %w", err)
	}
	vouched, own, ok := strings.Cut(c.TrustChain, ".")
	if !ok {
		return nil, errors.New("tcs has no two signatures")
	}
	if !verifyHex(organization, issuerID+"."+keyText, vouched) {
		return nil, errors.New("the organization does not vouch for the Chain Issuer")
	}
	if !verifyHex(key, c.ID+"."+vouched, own) {
		return nil, errors.New("the Chain Issuer does not vouch for the token")
	}
	return key, nil
}

func verifyHex(key ed25519.PublicKey, text, signature string) bool {
	decoded, err := hex.DecodeString(signature)
	return err == nil && ed25519.Verify(key, []byte(text), decoded)
}

// PublicKey reads an ed25519 public key as Choria writes it: 64 hex characters.
func PublicKey(text string) (ed25519.PublicKey, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("no ed25519 public key: want 64 hex characters")
	}
	return key, nil
}

// IssueServerToken makes a token for the node that holds the key, signed by the issuer of
// the organization "choria" and valid from now on for the time given.
func IssueServerToken(identity string, collectives []string, key ed25519.PublicKey, issuer ed25519.PrivateKey, now time.Time, validity time.Duration) (string, error) {
	id, err := ksuid.NewRandomWithTime(now)
	if err != nil {
		return "", fmt.Errorf("make a token id: %w", err)
	}
	return jwt.NewWithClaims(jwt.SigningMethodEdDSA, Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID:        id.String(),
			Issuer:    "Muster",
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(validity)),
		},
		Purpose:     PurposeServer,
		Identity:    identity,
		Collectives: collectives,
		Permissions: map[string]bool{},
		OrgUnit:     "choria",
		PublicKey:   hex.EncodeToString(key),
	}).SignedString(issuer)
}
