// Package authority is a certificate authority for tests. Only tests import it.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/pki"
)

// Authority issues certificates that are valid around a given time.
type Authority struct {
	*pki.Authority
	tb   testing.TB
	when time.Time
	crls int64 // made so far
}

// New makes an authority whose certificate is valid for a year before and after the time.
func New(tb testing.TB, when time.Time) *Authority {
	tb.Helper()
	a, err := pki.NewAuthority("Test CA", when.AddDate(-1, 0, 0), when.AddDate(1, 0, 0))
	if err != nil {
		tb.Fatal(err)
	}
	return &Authority{Authority: a, tb: tb, when: when}
}

// Certificate returns a certificate for a key, as PEM: valid for a month before and after the
// authority's time, for clients and for servers on loopback. An edit that is not nil changes it
// before it is signed. The first name is the common name, all are DNS names.
func (a *Authority) Certificate(key crypto.PublicKey, edit func(*x509.Certificate), names ...string) string {
	a.tb.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   a.when.AddDate(0, -1, 0), NotAfter: a.when.AddDate(0, 1, 0).Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(template)
	}
	text, err := a.Issue(template, key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return text
}

// Pair returns a new key with its certificate, both as PEM.
func (a *Authority) Pair(edit func(*x509.Certificate), names ...string) (certificate, key string) {
	a.tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	if key, err = pki.KeyPEM(private); err != nil {
		a.tb.Fatal(err)
	}
	return a.Certificate(private.Public(), edit, names...), key
}

// Files writes cert.pem, key.pem and ca.pem, for the names, into the directory.
func (a *Authority) Files(dir string, edit func(*x509.Certificate), names ...string) {
	a.tb.Helper()
	certificate, key := a.Pair(edit, names...)
	for name, text := range map[string]string{"cert.pem": certificate, "key.pem": key, "ca.pem": a.PEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			a.tb.Fatal(err)
		}
	}
}

// Renew issues another certificate of the authority, for the same key but valid until till, as PEM.
func (a *Authority) Renew(till time.Time) string {
	a.tb.Helper()
	block, _ := pem.Decode([]byte(a.PEM()))
	template, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		a.tb.Fatal(err)
	}
	template.NotAfter = till
	text, err := a.Issue(template, template.PublicKey)
	if err != nil {
		a.tb.Fatal(err)
	}
	return text
}

// CRL returns the authority's revocation list as PEM: of the certificates, all PEM, and valid until a
// month after the authority's time. Each has a higher number than those made before. An edit that is not
// nil changes it before it is signed.
func (a *Authority) CRL(edit func(*x509.RevocationList), revoked ...string) string {
	a.tb.Helper()
	a.crls++
	template := &x509.RevocationList{
		Number: big.NewInt(a.crls), ThisUpdate: a.when.Add(-time.Hour), NextUpdate: a.when.AddDate(0, 1, 0),
	}
	for _, text := range revoked {
		block, _ := pem.Decode([]byte(text))
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			a.tb.Fatal(err)
		}
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: a.when})
	}
	if edit != nil {
		edit(template)
	}
	text, err := a.Authority.CRL(template)
	if err != nil {
		a.tb.Fatal(err)
	}
	return text
}

// Intermediate returns an authority whose certificate this one has signed.
func (a *Authority) Intermediate(name string) *Authority {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	keyText, err := pki.KeyPEM(key)
	if err != nil {
		a.tb.Fatal(err)
	}
	own := a.Certificate(key.Public(), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.ExtKeyUsage = true, true, nil
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}, name)
	below, err := pki.ReadAuthority([]byte(own), []byte(keyText))
	if err != nil {
		a.tb.Fatal(err)
	}
	return &Authority{Authority: below, tb: a.tb, when: a.when}
}

// Client returns the TLS configuration of a client that has a certificate of that name and trusts
// this authority.
func (a *Authority) Client(edit func(*x509.Certificate), name string) *tls.Config {
	a.tb.Helper()
	certificate, err := tls.X509KeyPair(pair(a.Pair(edit, name)))
	if err != nil {
		a.tb.Fatal(err)
	}
	return &tls.Config{RootCAs: a.Pool(), Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
}

func pair(certificate, key string) ([]byte, []byte) { return []byte(certificate), []byte(key) }
