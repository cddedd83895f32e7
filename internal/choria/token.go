package choria

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
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
	Purpose         string           `json:"purpose"`
	Identity        string           `json:"identity,omitempty"` // nodes
	Collectives     []string         `json:"collectives,omitempty"`
	CallerID        string           `json:"callerid,omitempty"` // clients
	Permissions     map[string]bool  `json:"permissions"`
	PubSubjects     []string         `json:"pub_subjects,omitempty"` // may be published to beside what everybody may
	SubSubjects     []string         `json:"sub_subjects,omitempty"`
	OrgUnit         string           `json:"ou"`
	PublicKey       string           `json:"public_key"` // hex ed25519, of who holds the token
	TrustChain      string           `json:"tcs,omitempty"`
	IssuerExpiresAt *jwt.NumericDate `json:"issexp,omitempty"`
}

// Name tells who the token is for: a node's identity or a client's caller id.
func (c *Claims) Name() string {
	if c.Purpose == PurposeClient {
		return c.CallerID
	}
	return c.Identity
}

// complete wants what a token is of no use without.
func (c *Claims) complete() error {
	switch {
	case c.Purpose != PurposeServer && c.Purpose != PurposeClient:
		return fmt.Errorf("a token for %q", c.Purpose)
	case c.Name() == "":
		return errors.New("a token that names nobody")
	}
	_, err := PublicKey(c.PublicKey)
	return err
}

// valid tells whether it is the token's time. A token need not have an end.
func (c *Claims) valid(now time.Time) error {
	from, till := c.lifetime()
	if now.Before(from) || !now.Before(till) {
		return fmt.Errorf("%w: token valid from %s to %s", ErrExpired, from.Format(time.RFC3339), till.Format(time.RFC3339))
	}
	return nil
}

func (c *Claims) lifetime() (from, till time.Time) {
	till = endOfTime
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

// CheckSignature checks the signature that shows that somebody holds the token's key: ed25519, over
// the bytes that were asked to be signed. The error is ErrWrongSignature.
func (c *Claims) CheckSignature(signed, signature []byte) error {
	key, err := PublicKey(c.PublicKey)
	if err != nil || !ed25519.Verify(key, signed, signature) {
		return fmt.Errorf("%w: of the token of %s", ErrWrongSignature, c.Name())
	}
	return nil
}

// Issuers are the public keys of organizations, by the name that tokens give as "ou".
type Issuers map[string]ed25519.PublicKey

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
	if c.PublicKey == "" || c.IssuedAt == nil || c.ExpiresAt == nil || c.IssuerExpiresAt == nil {
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

// SignerKey reads the public key of a signer: 64 hex characters of ed25519, or PEM of a
// certificate or a public key, RSA or ed25519.
func SignerKey(text string) (crypto.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		key, err := PublicKey(strings.TrimSpace(text))
		if err != nil {
			return nil, errors.New("neither PEM nor 64 hex characters of an ed25519 public key")
		}
		return key, nil
	}
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = c.PublicKey
		}
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	switch key.(type) {
	case *rsa.PublicKey, ed25519.PublicKey:
		return key, nil
	}
	return nil, errors.New("a key that is neither RSA nor ed25519")
}
