package choria

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/muster-appliance/muster/internal/revocation"
)

// cacheSize is the number of verified certificates, and of verified tokens, that are kept.
const cacheSize = 1 << 16

// maxTokenBytes is the length of a token that is read. CONNECT carries a token twice in one protocol
// line of at most 64 KiB, so no node or client can use a longer one.
const maxTokenBytes = 32 << 10

// Signers are the keys, ed25519 or RSA, that may sign tokens if there is no organization: one list
// for the tokens of nodes, another for those of clients. Provisioning tokens may have a signer beside an organization.
type Signers struct {
	Server       []crypto.PublicKey
	Client       []crypto.PublicKey
	Provisioning []crypto.PublicKey
}

// TokenVerifier verifies tokens, and caches those that it has verified. It is safe for concurrent
// use.
type TokenVerifier struct {
	issuers Issuers
	signers Signers
	cache   *lru.Cache[digest, *Claims] // by the token
	failed  failures                    // by the token
	revoked atomic.Pointer[revocation.Tokens]
}

// NewTokenVerifier returns a verifier that trusts the issuers or, if there are none, the signers.
func NewTokenVerifier(issuers Issuers, signers Signers) *TokenVerifier {
	return &TokenVerifier{issuers: issuers, signers: signers, cache: newCache[*Claims](cacheSize), failed: newFailures()}
}

// Revoke makes the verifier refuse the tokens in the list, and no others, from now on. nil is an empty
// list.
func (t *TokenVerifier) Revoke(list *revocation.Tokens) { t.revoked.Store(list) }

// CanVerify reports whether there is an issuer, or a signer of tokens of nodes or clients.
func (t *TokenVerifier) CanVerify() bool {
	return len(t.issuers)+len(t.signers.Server)+len(t.signers.Client) > 0
}

// Verify returns the claims of a node's or client's token that is valid at the time and has a
// trusted signature. The error wraps ErrExpired, ErrRevoked, ErrUntrusted or ErrLimit. The claims are
// shared and must not be changed.
func (t *TokenVerifier) Verify(text string, now time.Time) (*Claims, error) {
	if len(text) > maxTokenBytes {
		return nil, fmt.Errorf("%w: a token of more than %d bytes", ErrLimit, maxTokenBytes)
	}
	if strings.ContainsAny(text, "\r\n") { // base64 decoders skip them
		return nil, fmt.Errorf("%w: token: it contains a line feed", ErrUntrusted)
	}
	id := sha256.Sum256([]byte(text))
	claims, cached := t.cache.Get(id)
	if !cached {
		if err := t.failed.get(id, now, nil); err != nil {
			return nil, err
		}
		var err error
		if claims, err = t.parse(text, now); err != nil {
			return nil, t.failed.add(id, err, now, nil)
		}
		t.cache.Add(id, claims)
	}
	if err := t.CheckClaims(claims, now); err != nil {
		return nil, err
	}
	return claims, nil
}

// CheckClaims returns ErrExpired or ErrRevoked if a token that was verified before is not valid any
// more.
func (t *TokenVerifier) CheckClaims(claims *Claims, now time.Time) error {
	if err := claims.checkTime(now); err != nil {
		return err
	}
	return claims.checkRevoked(t.revoked.Load())
}

func (t *TokenVerifier) parse(text string, now time.Time) (*Claims, error) {
	var claims Claims
	err := parseClaims(text, &claims, t.methods(), now, func(*jwt.Token) (any, error) {
		return t.verificationKey(&claims)
	})
	if err != nil {
		return nil, err
	}
	return &claims, nil
}

// parseClaims fills the claims from a token that one of the methods has signed, with the key that keyFunc returns.
func parseClaims(text string, claims *Claims, methods []jwt.SigningMethod, now time.Time, keyFunc jwt.Keyfunc) error {
	names := make([]string, len(methods))
	for i, method := range methods {
		names[i] = method.Alg()
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods(names),
		jwt.WithTimeFunc(func() time.Time { return now }),
		jwt.WithStrictDecoding(),
	)
	_, err := parser.ParseWithClaims(text, claims, keyFunc)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet):
		return fmt.Errorf("%w: token: %w", ErrExpired, err)
	case err != nil:
		return fmt.Errorf("%w: token: %w", ErrUntrusted, err)
	}
	return nil
}

// methods returns the ways to sign a token: ed25519 for organizations; signers may also have RSA keys.
func (t *TokenVerifier) methods() []jwt.SigningMethod {
	all := []jwt.SigningMethod{jwt.SigningMethodEdDSA}
	if len(t.issuers) == 0 {
		all = append(all, jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512)
	}
	return all
}

// verificationKey returns the key that must have signed the token, or a jwt.VerificationKeySet of
// which one must have.
func (t *TokenVerifier) verificationKey(c *Claims) (any, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if len(t.issuers) > 0 {
		return t.issuers.signingKey(c)
	}
	keys := t.signers.Server
	if c.Purpose == PurposeClient {
		keys = t.signers.Client
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no issuer and no signer is configured for tokens with the purpose %s", c.Purpose)
	}
	return keySet(keys), nil
}

// TokenPurpose returns the purpose in a token without verifying the token, or "" if it cannot be
// parsed.
func TokenPurpose(text string) string {
	claims := unverifiedClaims(strings.TrimSpace(text))
	return claims.purpose()
}

// TokenID returns the id in a token without verifying the token, or "" if it cannot be parsed.
func TokenID(text string) string { return unverifiedClaims(text).ID }

// TokenOrganization returns the organization in a token without verifying the token, or "" if it cannot
// be parsed.
func TokenOrganization(text string) string { return unverifiedClaims(text).OrgUnit }

// CheckTokenKey returns an error if a token, which is not verified, is not one for a holder of the key.
func CheckTokenKey(text string, key ed25519.PrivateKey) error {
	claims := unverifiedClaims(text)
	public, err := PublicKey(claims.PublicKey)
	switch {
	case claims.Purpose == "" || err != nil:
		return errors.New("the token is not one of Choria; write the JWT that the issuer made, or file:PATH")
	case !public.Equal(key.Public()):
		return errors.New("the token is for another seed; token and seed are made together")
	}
	return nil
}

// TokenRevoked reports whether a list revokes a token, which is not verified.
func TokenRevoked(text string, list *revocation.Tokens) bool {
	claims := unverifiedClaims(text)
	return claims.checkRevoked(list) != nil
}

// unverifiedClaims returns the claims of a token, empty if it cannot be parsed.
func unverifiedClaims(text string) Claims {
	var claims Claims
	if len(text) > maxTokenBytes {
		return claims
	}
	if _, _, err := jwt.NewParser().ParseUnverified(text, &claims); err != nil {
		return Claims{}
	}
	return claims
}
