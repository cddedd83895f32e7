package choria

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Limits on the certificates of a sender, so that it cannot make the appliance spend CPU time:
// verifying a single signature with a key of 131072 bits takes seconds.
const (
	maxCertificates = 8
	maxKeyBits      = 8192 // RSA
)

// certIdentity is what a verified certificate proves, and when.
type certIdentity struct {
	names      []string // the common name and the DNS names
	key        *rsa.PublicKey
	from, till time.Time      // valid from, and until before till
	roots      *x509.CertPool // the roots it was verified with
}

// verifyChain verifies the PEM certificates of a sender: the first must be a client certificate
// with an RSA key and lead to one of the roots. The error wraps ErrExpired or ErrUntrusted.
func verifyChain(text string, roots *x509.CertPool, now time.Time) (certIdentity, error) {
	leaf, intermediates, err := parseChain(text)
	if err != nil {
		return certIdentity{}, err
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return certIdentity{}, CertificateError(err)
	}
	key, isRSA := leaf.PublicKey.(*rsa.PublicKey)
	if !isRSA {
		return certIdentity{}, fmt.Errorf("%w: the key of the certificate is %s; protocol 1 requires RSA",
			ErrUntrusted, leaf.PublicKeyAlgorithm)
	}
	names := append([]string{leaf.Subject.CommonName}, leaf.DNSNames...)
	id := certIdentity{names: names, key: key, till: maxTime, roots: roots}
	for _, c := range chains[0] {
		if c.NotBefore.After(id.from) {
			id.from = c.NotBefore
		}
		if c.NotAfter.Before(id.till) {
			id.till = c.NotAfter.Add(time.Second) // NotAfter itself is the last valid second
		}
	}
	return id, nil
}

// CertificateError wraps an error of x509's Verify: in ErrExpired if the certificate is not valid at
// the time, otherwise in ErrUntrusted.
func CertificateError(err error) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("%w: certificate: %w", ErrExpired, err)
	}
	return fmt.Errorf("%w: certificate: %w", ErrUntrusted, err)
}

// keyBits returns the size of an RSA key, or 0 for other keys.
func keyBits(c *x509.Certificate) int {
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok {
		return key.N.BitLen()
	}
	return 0
}

// parseChain parses PEM certificates: the first is the sender's own, and each may be an
// intermediate. The error wraps ErrUntrusted.
func parseChain(text string) (leaf *x509.Certificate, intermediates *x509.CertPool, err error) {
	intermediates = x509.NewCertPool()
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
		if n++; n > maxCertificates || keyBits(c) > maxKeyBits {
			return nil, nil, fmt.Errorf("%w: more than %d certificates, or a key of more than %d bits",
				ErrUntrusted, maxCertificates, maxKeyBits)
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
