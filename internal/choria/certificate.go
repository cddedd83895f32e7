package choria

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/muster-appliance/muster/internal/revocation"
)

// Limits on the certificates of a sender or a connection, so that it cannot make the appliance spend
// CPU time: verifying a single signature with a key of 131072 bits takes seconds.
const (
	// maxCertificates is the number of certificates: its own, and those of intermediate CAs.
	maxCertificates = 4
	// maxChainBytes is the length of all of them as PEM; one with a key of 4096 bits has about 2500.
	maxChainBytes = 32 << 10
	// maxKeyBits is the size of an RSA key, in bits.
	maxKeyBits = 4096
	// maxExponent is the public exponent of an RSA key: what every authority uses. The time of a
	// verification grows with the bits of the exponent.
	maxExponent = 65537
)

// verifyChain verifies certificates, of which the first must be a client certificate that leads to one
// of the roots and is not revoked, and returns what it proves. The error wraps ErrExpired, ErrRevoked,
// ErrUntrusted or ErrLimit.
func verifyChain(presented []*x509.Certificate, with *trust, now time.Time) (*Certificate, error) {
	if with.roots == nil {
		return nil, fmt.Errorf("%w: no CA is configured to verify the certificate with", ErrUntrusted)
	}
	chains, err := findChains(presented, with.roots, now)
	if err != nil {
		return nil, err
	}
	leaf := presented[0]
	c := &Certificate{names: append([]string{leaf.Subject.CommonName}, leaf.DNSNames...), till: maxTime, trust: with}
	c.key, _ = leaf.PublicKey.(*rsa.PublicKey)
	chain := firstValid(chains, with.lists)
	if chain == nil {
		return nil, errRevokedCertificate(c.names)
	}
	c.root, c.links = keyOf(chain[len(chain)-1]), with.lists.Links(chain)
	for _, one := range chain {
		if one.NotBefore.After(c.from) {
			c.from = one.NotBefore
		}
		if one.NotAfter.Before(c.till) {
			c.till = one.NotAfter.Add(time.Second) // NotAfter itself is the last valid second
		}
	}
	return c, nil
}

// firstValid returns the first chain without a revoked certificate, or nil.
func firstValid(chains [][]*x509.Certificate, lists *revocation.Lists) []*x509.Certificate {
	for _, chain := range chains {
		if !lists.Revoked(lists.Links(chain)) {
			return chain
		}
	}
	return nil
}

// findChains verifies a client certificate, the first, and returns its chains to the roots. The others
// may be intermediate CAs. The error wraps ErrExpired or ErrUntrusted.
//
// x509's Verify alone searches every path through the intermediates from the client certificate up,
// and verifies up to 100 signatures with keys that the sender has made. So the search goes from the
// roots down: an intermediate takes part once a root, or one that takes part already, has signed it.
func findChains(
	certificates []*x509.Certificate, roots *x509.CertPool, now time.Time,
) ([][]*x509.Certificate, error) {
	options := x509.VerifyOptions{
		Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	candidates := slices.DeleteFunc(slices.Clone(certificates[1:]), func(c *x509.Certificate) bool { return !c.IsCA })
	for before := len(candidates) + 1; len(candidates) < before; {
		before = len(candidates)
		candidates = slices.DeleteFunc(candidates, func(c *x509.Certificate) bool {
			_, err := c.Verify(options)
			if err == nil {
				options.Intermediates.AddCert(c)
			}
			return err == nil
		})
	}
	options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	chains, err := certificates[0].Verify(options)
	switch {
	case err != nil && slices.ContainsFunc(candidates, func(c *x509.Certificate) bool {
		return bytes.Equal(c.RawSubject, certificates[0].RawIssuer) && (now.Before(c.NotBefore) || now.After(c.NotAfter))
	}):
		return nil, fmt.Errorf("%w: certificate: its issuer is not valid at the time", ErrExpired)
	case err != nil:
		return nil, certificateError(err)
	}
	return chains, nil
}

// checkCertificates returns ErrLimit if there are too many certificates, or an RSA key is too large.
func checkCertificates(certificates []*x509.Certificate) error {
	if len(certificates) > maxCertificates {
		return fmt.Errorf("%w: more than %d certificates", ErrLimit, maxCertificates)
	}
	for _, c := range certificates {
		key, ok := c.PublicKey.(*rsa.PublicKey)
		if ok && (key.N.BitLen() > maxKeyBits || key.E > maxExponent) {
			return fmt.Errorf("%w: an RSA key of more than %d bits, or with an exponent above %d",
				ErrLimit, maxKeyBits, maxExponent)
		}
	}
	return nil
}

// certificateError wraps an error of x509's Verify: in ErrExpired if the certificate is not valid at
// the time, otherwise in ErrUntrusted.
func certificateError(err error) error {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("%w: certificate: %w", ErrExpired, err)
	}
	return fmt.Errorf("%w: certificate: %w", ErrUntrusted, err)
}

// parseChain parses PEM certificates, of which there is at least one: the first is the sender's own.
// The error wraps ErrUntrusted or ErrLimit.
func parseChain(text string) ([]*x509.Certificate, error) {
	if len(text) > maxChainBytes {
		return nil, fmt.Errorf("%w: certificates of more than %d bytes", ErrLimit, maxChainBytes)
	}
	var certificates []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: certificate: %w", ErrUntrusted, err)
		}
		certificates = append(certificates, c)
		if err := checkCertificates(certificates); err != nil {
			return nil, err
		}
	}
	if len(certificates) == 0 {
		return nil, fmt.Errorf("%w: there is no PEM certificate", ErrUntrusted)
	}
	return certificates, nil
}
