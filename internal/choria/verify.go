package choria

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// How a message was verified.
const (
	VerifiedX509 = "x509" // a certificate under the CA
	VerifiedJWT  = "jwt"  // a token under an issuer
)

// remembered is how many senders' certificates and tokens are verified once only.
const remembered = 1 << 16

// callerName takes the name out of a caller such as choria=web1.example.net.
var callerName = regexp.MustCompile(`^[a-z]+=([\w.-]+)$`)

// Verifier checks who wrote a message: that a certificate or token is good, that its key
// made the signature, and that it is the sender's own. It may be used from many goroutines.
type Verifier struct {
	roots   *x509.CertPool // nil: no certificate is trusted
	issuers Issuers
	known   *lru.Cache[[sha256.Size]byte, identity]
}

// identity is what a good certificate or token proves, and when.
type identity struct {
	names      []string
	key        crypto.PublicKey
	from, till time.Time
}

// NewVerifier trusts certificates under the roots, and tokens of the issuers.
func NewVerifier(roots *x509.CertPool, issuers Issuers) *Verifier {
	known, err := lru.New[[sha256.Size]byte, identity](remembered)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Verifier{roots: roots, issuers: issuers, known: known}
}

// Trusts tells whether there is anything that a message could be verified against.
func (v *Verifier) Trusts() bool { return v.roots != nil || len(v.issuers) > 0 }

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
	hash, err := base64Strict.DecodeString(m.Proof.Hash)
	if sum := sha256.Sum256(m.Proof.Signed); err != nil || !slices.Equal(hash, sum[:]) {
		return fmt.Errorf("%w: hash of the reply", ErrWrongSignature)
	}
	if m.Proof.Signature == "" || m.Proof.Caller == "" {
		return fmt.Errorf("%w: reply", ErrUnsigned)
	}
	return v.verifyToken(m, now)
}

// verifyToken is for protocol 2: a node's token under an issuer, whose key signed, and
// whose identity is the sender everywhere.
func (v *Verifier) verifyToken(m *Message, now time.Time) error {
	if m.Proof.Signer != "" {
		return fmt.Errorf("%w: signed for somebody else", ErrUntrusted)
	}
	if m.Proof.Signature == base64Insecure {
		return fmt.Errorf("%w: request", ErrUnsigned)
	}
	who, err := v.identify(m.Proof.Caller, now, v.tokenIdentity)
	if err != nil {
		return err
	}
	signature, err := decodeBase64("signature", m.Proof.Signature)
	if err != nil || !ed25519.Verify(who.key.(ed25519.PublicKey), m.Proof.Signed, signature) {
		return fmt.Errorf("%w: of the token %v", ErrWrongSignature, who.names)
	}
	return who.owns(m, m.Caller)
}

// verifyCertificate is for requests of protocol 1: a certificate under the CA, whose RSA
// key signed, and whose name is the sender everywhere.
func (v *Verifier) verifyCertificate(m *Message, now time.Time) error {
	if m.Proof.Certificate == insecure || m.Proof.Certificate == insecureRegistration {
		return fmt.Errorf("%w: request", ErrUnsigned)
	}
	who, err := v.identify(m.Proof.Certificate, now, v.certificateIdentity)
	if err != nil {
		return err
	}
	signature, err := decodeBase64("signature", m.Proof.Signature)
	digest := sha256.Sum256(m.Proof.Signed)
	if err != nil || rsa.VerifyPKCS1v15(who.key.(*rsa.PublicKey), crypto.SHA256, digest[:], signature) != nil {
		return fmt.Errorf("%w: of the certificate %v", ErrWrongSignature, who.names)
	}
	caller := callerName.FindStringSubmatch(m.Caller)
	if caller == nil {
		return fmt.Errorf("%w: caller %q", ErrWrongName, m.Caller)
	}
	return who.owns(m, caller[1])
}

// owns checks that the message names nobody but the holder of the certificate or token.
// Replies have no caller, and the transport need not name a sender.
func (i identity) owns(m *Message, caller string) error {
	switch {
	case !slices.Contains(i.names, m.Sender):
		return fmt.Errorf("%w: signed by %v, sent as %q", ErrWrongName, i.names, m.Sender)
	case caller != m.Sender && !m.Reply:
		return fmt.Errorf("%w: sender %q, caller %q", ErrWrongName, m.Sender, m.Caller)
	case m.TransportSender != "" && m.TransportSender != m.Sender:
		return fmt.Errorf("%w: sender %q, transport sender %q", ErrWrongName, m.Sender, m.TransportSender)
	}
	return nil
}

// identify verifies a certificate or token, once for as long as it is remembered.
func (v *Verifier) identify(text string, now time.Time, verify func(string, time.Time) (identity, error)) (identity, error) {
	id := sha256.Sum256([]byte(text))
	who, known := v.known.Get(id)
	if !known {
		var err error
		if who, err = verify(text, now); err != nil {
			return identity{}, err
		}
		v.known.Add(id, who)
	}
	if now.Before(who.from) || !now.Before(who.till) {
		return identity{}, fmt.Errorf("%w: valid from %s to %s", ErrExpired, who.from.Format(time.RFC3339), who.till.Format(time.RFC3339))
	}
	return who, nil
}

func (v *Verifier) tokenIdentity(text string, now time.Time) (identity, error) {
	claims, err := v.issuers.Token(text, now)
	if err != nil {
		return identity{}, err
	}
	if claims.Purpose != PurposeServer || claims.Identity == "" {
		return identity{}, fmt.Errorf("%w: the token is not a node's but %q", ErrUntrusted, claims.Purpose)
	}
	key, err := PublicKey(claims.PublicKey)
	if err != nil {
		return identity{}, fmt.Errorf("%w: token: %w", ErrUntrusted, err)
	}
	who := identity{names: []string{claims.Identity}, key: key, till: endOfTime}
	if claims.NotBefore != nil {
		who.from = claims.NotBefore.Time
	}
	if claims.ExpiresAt != nil {
		who.till = claims.ExpiresAt.Time
	}
	if end := claims.IssuerEnds; end != nil && end.Before(who.till) {
		who.till = end.Time
	}
	return who, nil
}

// endOfTime is when a token without an end expires.
var endOfTime = time.Unix(maxSeconds, 0)

func (v *Verifier) certificateIdentity(text string, now time.Time) (identity, error) {
	if v.roots == nil {
		return identity{}, fmt.Errorf("%w: there is no CA to verify a certificate with", ErrUntrusted)
	}
	leaf, intermediates, err := parseChain(text)
	if err != nil {
		return identity{}, err
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: v.roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return identity{}, fmt.Errorf("%w: certificate: %w", ErrExpired, err)
	case err != nil:
		return identity{}, fmt.Errorf("%w: certificate: %w", ErrUntrusted, err)
	}
	if _, isRSA := leaf.PublicKey.(*rsa.PublicKey); !isRSA {
		return identity{}, fmt.Errorf("%w: the key of the certificate is %s, and protocol 1 signs with RSA", ErrUntrusted, leaf.PublicKeyAlgorithm)
	}
	who := identity{names: append([]string{leaf.Subject.CommonName}, leaf.DNSNames...), key: leaf.PublicKey, till: endOfTime}
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

// parseChain reads PEM certificates: the first is the sender's, all may lead to the CA.
func parseChain(text string) (*x509.Certificate, *x509.CertPool, error) {
	var leaf *x509.Certificate
	intermediates := x509.NewCertPool()
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: certificate: %w", ErrUntrusted, err)
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
