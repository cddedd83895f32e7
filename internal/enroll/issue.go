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

// brokerPair returns a new certificate and key for the broker, both PEM. The certificate also
// holds the loopback names, for nodes on the same machine.
func (s *Site) brokerPair(name string, now time.Time) (certificate, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	if certificate, err = s.authority.Issue(brokerTemplate(name, now), private.Public()); err != nil {
		return "", "", err
	}
	key, err = pki.KeyPEM(private)
	return certificate, key, err
}

// brokerTemplate returns the template of a broker's certificate.
func brokerTemplate(name string, now time.Time) *x509.Certificate {
	template := leaf(name, x509.ExtKeyUsageServerAuth, now)
	for _, other := range []string{name, "localhost", "127.0.0.1", "::1"} {
		if ip := net.ParseIP(other); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if !slices.Contains(template.DNSNames, other) {
			template.DNSNames = append(template.DNSNames, other)
		}
	}
	return template
}

// Certificate issues a node's certificate for its public key, as PEM. Choria signs with RSA keys.
func (s *Site) Certificate(node string, key crypto.PublicKey, now time.Time) (string, error) {
	template := leaf(node, x509.ExtKeyUsageClientAuth, now)
	template.DNSNames = []string{node}
	return s.authority.Issue(template, key)
}

// leaf returns the template of a certificate that is not an authority.
func leaf(name string, usage x509.ExtKeyUsage, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(leafYears, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
}

// Token issues a node's token for its public key. It permits the node to publish
// submissions, as a node with a certificate may.
func (s *Site) Token(node, collective string, key ed25519.PublicKey, now time.Time) (string, error) {
	claims := choria.ServerClaims(node, []string{collective}, key)
	claims.OrgUnit = s.issuerName
	claims.Permissions = map[string]bool{"submission": true}
	return choria.IssueToken(claims, s.issuer, now, now.AddDate(leafYears, 0, 0).Sub(now))
}

// Roots returns a pool that holds the certificate of the site's authority.
func (s *Site) Roots() *x509.CertPool { return s.authority.Pool() }
