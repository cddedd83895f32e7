package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"slices"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/pki"
)

// brokerPair is a certificate of the broker with its key. Nodes on the same machine may
// call it by the names of loopback too.
func (s *Site) brokerPair(name string, now time.Time) (certificate, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := leaf(name, x509.ExtKeyUsageServerAuth, now)
	for _, other := range []string{name, "localhost", "127.0.0.1", "::1"} {
		if ip := net.ParseIP(other); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if !slices.Contains(template.DNSNames, other) {
			template.DNSNames = append(template.DNSNames, other)
		}
	}
	if certificate, err = s.authority.Issue(template, private.Public()); err != nil {
		return "", "", err
	}
	key, err = pki.KeyPEM(private)
	return certificate, key, err
}

// Certificate is a node's certificate for its key, as PEM. Choria signs with RSA keys.
func (s *Site) Certificate(node string, key crypto.PublicKey, now time.Time) (string, error) {
	template := leaf(node, x509.ExtKeyUsageClientAuth, now)
	template.DNSNames = []string{node}
	return s.authority.Issue(template, key)
}

func leaf(name string, usage x509.ExtKeyUsage, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(yearsOfOthers, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
}

// Token is a node's token for its key.
func (s *Site) Token(node, collective string, key ed25519.PublicKey, now time.Time) (string, error) {
	claims := choria.ServerClaims(node, []string{collective}, key)
	claims.Permissions = map[string]bool{"submission": true}
	return choria.IssueToken(claims, s.issuer, now, now.AddDate(yearsOfOthers, 0, 0).Sub(now))
}

// Roots trusts the site's authority, and so its broker.
func (s *Site) Roots() *x509.CertPool { return s.authority.Pool() }
