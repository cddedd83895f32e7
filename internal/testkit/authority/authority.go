// Package authority is a certificate authority for tests. It knows nothing of the rest.
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
)

// Authority issues certificates around a time at which they are valid.
type Authority struct {
	tb   testing.TB
	when time.Time
	key  crypto.Signer
	cert *x509.Certificate
}

// New makes an authority that nobody knows yet.
func New(tb testing.TB, when time.Time) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, when: when, key: newKey(tb)}
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: "Test CA"},
		NotBefore: when.AddDate(-1, 0, 0), NotAfter: when.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	return a
}

func newKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func serial(tb testing.TB) *big.Int {
	tb.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// PEM is the authority's own certificate.
func (a *Authority) PEM() string { return encode("CERTIFICATE", a.cert.Raw) }

// Pool trusts this authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Certificate is PEM for a key: valid for a month to both sides, for clients and servers on
// loopback, unless edit says otherwise. The first name is the common name, all are DNS names.
func (a *Authority) Certificate(key crypto.PublicKey, edit func(*x509.Certificate), names ...string) string {
	a.tb.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(a.tb), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   a.when.AddDate(0, -1, 0), NotAfter: a.when.AddDate(0, 1, 0).Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return encode("CERTIFICATE", der)
}

// Pair is a new key with its certificate, both PEM.
func (a *Authority) Pair(edit func(*x509.Certificate), names ...string) (certificate, key string) {
	a.tb.Helper()
	private := newKey(a.tb)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.tb.Fatal(err)
	}
	return a.Certificate(private.Public(), edit, names...), encode("PRIVATE KEY", der)
}

// Files writes cert.pem, key.pem and ca.pem for the names into the directory.
func (a *Authority) Files(dir string, edit func(*x509.Certificate), names ...string) {
	a.tb.Helper()
	certificate, key := a.Pair(edit, names...)
	for name, text := range map[string]string{"cert.pem": certificate, "key.pem": key, "ca.pem": a.PEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			a.tb.Fatal(err)
		}
	}
}

// Client is the TLS configuration of somebody with a certificate of that name, who trusts
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

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
