package choria

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
)

// remembered is how many certificates, and how many tokens, are verified once only.
const remembered = 1 << 16

// Signers are keys, ed25519 or RSA, that sign tokens where there is no organization: those
// of nodes and those of clients.
type Signers struct {
	Server []crypto.PublicKey
	Client []crypto.PublicKey
}

// TokenVerifier verifies tokens, each once for as long as it is remembered. It may be used from
// many goroutines.
type TokenVerifier struct {
	issuers Issuers
	signers Signers
	known   *lru.Cache[[sha256.Size]byte, *Claims]
}

// NewTokenVerifier trusts the tokens of the issuers or, where there are none, of the signers.
func NewTokenVerifier(issuers Issuers, signers Signers) *TokenVerifier {
	known, err := lru.New[[sha256.Size]byte, *Claims](remembered)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &TokenVerifier{issuers: issuers, signers: signers, known: known}
}

// CanVerify tells whether there is anybody whose tokens are trusted.
func (t *TokenVerifier) CanVerify() bool {
	return len(t.issuers)+len(t.signers.Server)+len(t.signers.Client) > 0
}

// Verify reads a token of a node or a client and checks that somebody who is trusted signed
// it and that it is valid at the time. The error is ErrExpired or ErrUntrusted. The claims
// are shared: they may not be changed.
func (t *TokenVerifier) Verify(text string, now time.Time) (*Claims, error) {
	if strings.ContainsAny(text, "\r\n") { // which base64 decoders read over
		return nil, fmt.Errorf("%w: token: it has a line feed in it", ErrUntrusted)
	}
	id := sha256.Sum256([]byte(text))
	claims, known := t.known.Get(id)
	if !known {
		var err error
		if claims, err = t.read(text, now); err != nil {
			return nil, err
		}
		t.known.Add(id, claims)
	}
	if err := claims.valid(now); err != nil {
		return nil, err
	}
	return claims, nil
}

func (t *TokenVerifier) read(text string, now time.Time) (*Claims, error) {
	var claims Claims
	parser := jwt.NewParser(
		jwt.WithValidMethods(t.methods()),
		jwt.WithTimeFunc(func() time.Time { return now }),
		jwt.WithStrictDecoding(),
	)
	_, err := parser.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return t.key(&claims) })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet):
		return nil, fmt.Errorf("%w: token: %w", ErrExpired, err)
	case err != nil:
		return nil, fmt.Errorf("%w: token: %w", ErrUntrusted, err)
	}
	return &claims, nil
}

// methods are the algorithms that a token may be signed with: organizations have ed25519
// keys, signers may have RSA ones.
func (t *TokenVerifier) methods() []string {
	methods := []string{jwt.SigningMethodEdDSA.Alg()}
	if len(t.issuers) == 0 {
		methods = append(methods, jwt.SigningMethodRS256.Alg(), jwt.SigningMethodRS384.Alg(), jwt.SigningMethodRS512.Alg())
	}
	return methods
}

// key is what the token must be signed with: one key, or one of several.
func (t *TokenVerifier) key(c *Claims) (any, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	if len(t.issuers) > 0 {
		return t.issuers.signer(c)
	}
	keys := t.signers.Server
	if c.Purpose == PurposeClient {
		keys = t.signers.Client
	}
	var set jwt.VerificationKeySet
	for _, key := range keys {
		set.Keys = append(set.Keys, key)
	}
	if len(set.Keys) == 0 {
		return nil, fmt.Errorf("nobody may sign tokens for %q", c.Purpose)
	}
	return set, nil
}

// TokenPurpose is what a token says it is for; nothing of it is verified.
func TokenPurpose(text string) string {
	var claims Claims
	_, _, err := jwt.NewParser().ParseUnverified(text, &claims)
	if err != nil {
		return ""
	}
	return claims.Purpose
}
