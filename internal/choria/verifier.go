package choria

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/muster-appliance/muster/internal/revocation"
)

// How a message was verified.
const (
	VerifiedX509 = "x509" // by a certificate of the CA
	VerifiedJWT  = "jwt"  // by a token of an issuer or a signer
)

// callerName extracts the name from a caller such as choria=web1.example.net.
var callerName = regexp.MustCompile(`^[a-z]+=([\w.-]+)$`)

// Verifier verifies the author of a message: its certificate or token is valid, the signature is by
// that key, and the names in the message are those in the certificate or token. It is safe for
// concurrent use.
type Verifier struct {
	tokens       *TokenVerifier
	certificates certificateVerifier
}

// NewVerifier returns a verifier of messages with tokens. It trusts no certificates before
// Trust.
func NewVerifier(tokens *TokenVerifier) *Verifier {
	return &Verifier{tokens, newCertificateVerifier()}
}

// Trust makes the verifier trust certificates that these CAs have signed and these lists do not revoke,
// and no others, from now on.
func (v *Verifier) Trust(cas []*x509.Certificate, lists *revocation.Lists) {
	v.certificates.trusted.Store(newTrust(cas, lists))
}

// VerifyCertificates verifies the certificates that a connection presents: its own, a client
// certificate, and those of intermediate CAs. The error wraps ErrExpired, ErrRevoked, ErrUntrusted or
// ErrLimit.
func (v *Verifier) VerifyCertificates(presented []*x509.Certificate, now time.Time) (*Certificate, error) {
	return v.certificates.verify(presented, now)
}

// CheckCertificate returns ErrExpired, ErrRevoked or ErrUntrusted if a certificate that was verified
// before is not valid any more.
func (v *Verifier) CheckCertificate(c *Certificate, now time.Time) error {
	return v.certificates.check(c, now)
}

// TokenVerifier returns the verifier of tokens.
func (v *Verifier) TokenVerifier() *TokenVerifier { return v.tokens }

// CanVerify reports whether there are roots, or an issuer or signer of tokens.
func (v *Verifier) CanVerify() bool {
	return v.certificates.trusted.Load().roots != nil || v.tokens.CanVerify()
}

// Verify verifies a message and returns how: VerifiedX509 or VerifiedJWT. The error wraps
// ErrUnsigned, ErrUntrusted, ErrExpired, ErrRevoked, ErrWrongSignature, ErrWrongName or ErrLimit.
// Certificates and tokens must be valid now, the time of reception; the time in the message is only a claim.
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

// verifyReply verifies the hash of a reply, then its signature. Replies of protocol 1 have none.
func (v *Verifier) verifyReply(m *Message, now time.Time) error {
	hash, err := decodeBase64("hash", m.Proof.Hash)
	if sum := sha256.Sum256(m.Proof.Signed); err != nil || !slices.Equal(hash, sum[:]) {
		return fmt.Errorf("%w: the hash of the reply does not match", ErrWrongSignature)
	}
	if m.Proof.Signature == "" || m.Proof.Token == "" {
		return fmt.Errorf("%w: the reply is not signed", ErrUnsigned)
	}
	return v.verifyToken(m, now)
}

// verifyToken verifies a message of protocol 2: it must carry the token of a node, be signed with
// the token's key, and name no other identity than the token's.
func (v *Verifier) verifyToken(m *Message, now time.Time) error {
	if m.Proof.SignerToken != "" {
		return fmt.Errorf("%w: the request is signed by another party on behalf of the caller", ErrUntrusted)
	}
	if m.Proof.Signature == base64Insecure {
		return fmt.Errorf("%w: the request is not signed", ErrUnsigned)
	}
	claims, err := v.tokens.Verify(m.Proof.Token, now)
	if err != nil {
		return err
	}
	if claims.Purpose != PurposeServer {
		return fmt.Errorf("%w: the token is for %s, expected %s", ErrUntrusted, claims.Purpose, PurposeServer)
	}
	signature, err := decodeBase64("signature", m.Proof.Signature)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrongSignature, err)
	}
	if err := claims.CheckSignature(m.Proof.Signed, signature); err != nil {
		return err
	}
	return checkNames([]string{claims.Identity}, m, m.Caller)
}

// verifyCertificate verifies a request of protocol 1: it must carry a certificate signed by the CA,
// be signed with its RSA key, and name no other identity than the certificate's.
func (v *Verifier) verifyCertificate(m *Message, now time.Time) error {
	if m.Proof.Certificate == insecure || m.Proof.Certificate == insecureRegistration {
		return fmt.Errorf("%w: the request is not signed", ErrUnsigned)
	}
	id, err := v.certificates.identify(m.Proof.Certificate, now)
	if err != nil {
		return err
	}
	if id.key == nil {
		return fmt.Errorf("%w: the key of the certificate is not RSA, which protocol 1 requires", ErrUntrusted)
	}
	signature, err := decodeBase64("signature", m.Proof.Signature)
	digest := sha256.Sum256(m.Proof.Signed)
	if err != nil || rsa.VerifyPKCS1v15(id.key, crypto.SHA256, digest[:], signature) != nil {
		return fmt.Errorf("%w: the signature was not made with the key of the certificate of %v", ErrWrongSignature, id.names)
	}
	caller := callerName.FindStringSubmatch(m.Caller)
	if caller == nil {
		return fmt.Errorf("%w: the caller %q is not of the form choria=NAME", ErrWrongName, m.Caller)
	}
	return checkNames(id.names, m, caller[1])
}

// checkNames returns ErrWrongName unless the sender of the message is one of the names, and the
// caller and the transport sender are the sender. Replies have no caller, and the transport sender
// may be empty.
func checkNames(names []string, m *Message, caller string) error {
	switch {
	case !slices.Contains(names, m.Sender):
		return fmt.Errorf("%w: signed by %v, but the sender is %q", ErrWrongName, names, m.Sender)
	case caller != m.Sender && !m.Reply:
		return fmt.Errorf("%w: the sender is %q, but the caller is %q", ErrWrongName, m.Sender, m.Caller)
	case m.TransportSender != "" && m.TransportSender != m.Sender:
		return fmt.Errorf("%w: the sender is %q, but the transport sender is %q", ErrWrongName, m.Sender, m.TransportSender)
	}
	return nil
}
