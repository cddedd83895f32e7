package choria

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// How a message was verified.
const (
	VerifiedX509 = "x509" // a certificate under the CA
	VerifiedJWT  = "jwt"  // a token under an issuer
)

// callerName takes the name out of a caller such as choria=web1.example.net.
var callerName = regexp.MustCompile(`^[a-z]+=([\w.-]+)$`)

// Verifier checks who wrote a message: that a certificate or token is good, that its key
// made the signature, and that it is the sender's own. It may be used from many goroutines.
type Verifier struct {
	tokens *TokenVerifier
	roots  atomic.Pointer[x509.CertPool] // nil: no certificate is trusted
	known  *lru.Cache[[sha256.Size]byte, identity]
}

// identity is what a good certificate proves, and when.
type identity struct {
	names      []string
	key        *rsa.PublicKey
	from, till time.Time
	roots      *x509.CertPool // under which it is good
}

// NewVerifier trusts the tokens, and no certificate yet.
func NewVerifier(tokens *TokenVerifier) *Verifier {
	known, err := lru.New[[sha256.Size]byte, identity](remembered)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Verifier{tokens: tokens, known: known}
}

// TrustRoots trusts certificates under these roots from now on, and no others.
func (v *Verifier) TrustRoots(roots *x509.CertPool) { v.roots.Store(roots) }

// TokenVerifier are those that the verifier trusts.
func (v *Verifier) TokenVerifier() *TokenVerifier { return v.tokens }

// CanVerify tells whether there is anything that a message could be verified against.
func (v *Verifier) CanVerify() bool { return v.roots.Load() != nil || v.tokens.CanVerify() }

// Verify says how the message was verified, x509 or jwt. The error wraps ErrUnsigned,
// ErrUntrusted, ErrExpired, ErrWrongSignature or ErrWrongName. Certificates and tokens
// must be valid now, when the message is received; its own time is only a claim.
func (v *Verifier) Verify(m *Message, now time.Time) (how string, err error) {
	how = VerifiedX509
	if m.Protocol == V2 {
		how = VerifiedJWT
	}
	switch {
	case m.Reply:
		err = v.verifyReply(m, now)
	case m.Protocol == V2:
		err = v.verifyToken(m, now)
	default:
		err = v.verifyCertificate(m, now)
	}
	if err != nil {
		return "", err
	}
	return how, nil
}

// verifyReply checks the hash, and then the signature, which replies of protocol 1 have not.
func (v *Verifier) verifyReply(m *Message, now time.Time) error {
	hash, err := decodeBase64("hash", m.Proof.Hash)
	if sum := sha256.Sum256(m.Proof.Signed); err != nil || !slices.Equal(hash, sum[:]) {
		return fmt.Errorf("%w: hash of the reply", ErrWrongSignature)
	}
	if m.Proof.Signature == "" || m.Proof.Token == "" {
		return fmt.Errorf("%w: reply", ErrUnsigned)
	}
	return v.verifyToken(m, now)
}

// verifyToken is for protocol 2: a node's token under somebody trusted, whose key signed,
// and whose identity is the sender everywhere.
func (v *Verifier) verifyToken(m *Message, now time.Time) error {
	if m.Proof.SignerToken != "" {
		return fmt.Errorf("%w: signed for somebody else", ErrUntrusted)
	}
	if m.Proof.Signature == base64Insecure {
		return fmt.Errorf("%w: request", ErrUnsigned)
	}
	claims, err := v.tokens.Verify(m.Proof.Token, now)
	if err != nil {
		return err
	}
	if claims.Purpose != PurposeServer {
		return fmt.Errorf("%w: the token is not a node's but %q", ErrUntrusted, claims.Purpose)
	}
	signature, err := decodeBase64("signature", m.Proof.Signature)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrongSignature, err)
	}
	if err := claims.CheckSignature(m.Proof.Signed, signature); err != nil {
		return err
	}
	return owns([]string{claims.Identity}, m, m.Caller)
}

// verifyCertificate is for requests of protocol 1: a certificate under the CA, whose RSA
// key signed, and whose name is the sender everywhere.
func (v *Verifier) verifyCertificate(m *Message, now time.Time) error {
	if m.Proof.Certificate == insecure || m.Proof.Certificate == insecureRegistration {
		return fmt.Errorf("%w: request", ErrUnsigned)
	}
	who, err := v.identify(m.Proof.Certificate, now)
	if err != nil {
		return err
	}
	signature, err := decodeBase64("signature", m.Proof.Signature)
	digest := sha256.Sum256(m.Proof.Signed)
	if err != nil || rsa.VerifyPKCS1v15(who.key, crypto.SHA256, digest[:], signature) != nil {
		return fmt.Errorf("%w: of the certificate %v", ErrWrongSignature, who.names)
	}
	caller := callerName.FindStringSubmatch(m.Caller)
	if caller == nil {
		return fmt.Errorf("%w: caller %q", ErrWrongName, m.Caller)
	}
	return owns(who.names, m, caller[1])
}

// owns checks that the message names nobody but the holder of the certificate or token.
// Replies have no caller, and the transport need not name a sender.
func owns(names []string, m *Message, caller string) error {
	switch {
	case !slices.Contains(names, m.Sender):
		return fmt.Errorf("%w: signed by %v, sent as %q", ErrWrongName, names, m.Sender)
	case caller != m.Sender && !m.Reply:
		return fmt.Errorf("%w: sender %q, caller %q", ErrWrongName, m.Sender, m.Caller)
	case m.TransportSender != "" && m.TransportSender != m.Sender:
		return fmt.Errorf("%w: sender %q, transport sender %q", ErrWrongName, m.Sender, m.TransportSender)
	}
	return nil
}

// identify verifies a certificate, once for as long as it is remembered.
func (v *Verifier) identify(text string, now time.Time) (identity, error) {
	roots := v.roots.Load()
	if roots == nil {
		return identity{}, fmt.Errorf("%w: there is no CA to verify a certificate with", ErrUntrusted)
	}
	id := sha256.Sum256([]byte(text))
	who, known := v.known.Get(id)
	if known && who.roots == roots && !now.Before(who.from) && now.Before(who.till) {
		return who, nil
	}
	// Another way to the CA may be good where the one that is remembered is not.
	who, err := certificateIdentity(text, roots, now)
	if err != nil {
		return identity{}, err
	}
	v.known.Add(id, who)
	return who, nil
}

// endOfTime is when a token without an end expires.
var endOfTime = time.Unix(maxSeconds, 0)

func certificateIdentity(text string, roots *x509.CertPool, now time.Time) (identity, error) {
	leaf, intermediates, err := parseChain(text)
	if err != nil {
		return identity{}, err
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return identity{}, CertificateError(err)
	}
	key, isRSA := leaf.PublicKey.(*rsa.PublicKey)
	if !isRSA {
		return identity{}, fmt.Errorf("%w: the key of the certificate is %s, and protocol 1 signs with RSA", ErrUntrusted, leaf.PublicKeyAlgorithm)
	}
	who := identity{names: append([]string{leaf.Subject.CommonName}, leaf.DNSNames...), key: key, till: endOfTime, roots: roots}
	for _, c := range chains[0] {
		if c.NotBefore.After(who.from) {
			who.from = c.NotBefore
		}
		if c.NotAfter.Before(who.till) {
			who.till = c.NotAfter.Add(time.Second) // NotAfter itself is the last valid second
		}
	}
	return who, nil
}

// CertificateError says ErrExpired or ErrUntrusted of an error of verifying a certificate.
func CertificateError(err error) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("%w: certificate: %w", ErrExpired, err)
	}
	return fmt.Errorf("%w: certificate: %w", ErrUntrusted, err)
}

// What a sender may let us work on: a single signature with a key of 131072 bits takes
// seconds to verify.
const (
	mostCertificates = 8
	mostKeyBits      = 8192
)

func keyBits(c *x509.Certificate) int {
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok {
		return key.N.BitLen()
	}
	return 0
}

// parseChain reads PEM certificates: the first is the sender's, all may lead to the CA.
func parseChain(text string) (*x509.Certificate, *x509.CertPool, error) {
	var leaf *x509.Certificate
	intermediates := x509.NewCertPool()
	n := 0
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: certificate: %w", ErrUntrusted, err)
		}
		if n++; n > mostCertificates || keyBits(c) > mostKeyBits {
			return nil, nil, fmt.Errorf("%w: more than %d certificates, or a key of more than %d bits", ErrUntrusted, mostCertificates, mostKeyBits)
		}
		intermediates.AddCert(c)
		if leaf == nil {
			leaf = c
		}
	}
	if leaf == nil {
		return nil, nil, fmt.Errorf("%w: there is no PEM certificate", ErrUntrusted)
	}
	return leaf, intermediates, nil
}
