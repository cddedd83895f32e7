// Package pki makes certificate authorities and issues certificates. It works in memory: callers
// read and write the files.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Authority is a certificate authority: a certificate and its private key.
type Authority struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// NewAuthority makes an authority with a new ECDSA P-256 key and a self-signed certificate that is
// valid from one time until the other.
func NewAuthority(name string, from, till time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	a := &Authority{key: key}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: till,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a.cert = template // self-signed
	der, err := a.issue(template, key.Public())
	if err != nil {
		return nil, err
	}
	a.cert, err = x509.ParseCertificate(der)
	return a, err
}

// ReadAuthority parses an authority's private key (PKCS #8) and, of several certificates, the one that
// belongs to it, all PEM. It returns an error if none does.
func ReadAuthority(certificates, key []byte) (*Authority, error) {
	private, err := readKey(key)
	if err != nil {
		return nil, fmt.Errorf("parse the authority's key: %w", err)
	}
	public, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, fmt.Errorf("the authority's key is of the type %T, which is not supported", private)
	}
	count := 0
	for block, rest := pem.Decode(certificates); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		count++
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse the authority's certificate: %w", err)
		}
		if public.Equal(cert.PublicKey) {
			return &Authority{key: private, cert: cert}, nil
		}
	}
	if count == 0 {
		return nil, errors.New("the authority's certificate is not PEM of the type CERTIFICATE")
	}
	return nil, errors.New("the authority's key does not belong to its certificate")
}

// CrossSign returns a certificate of another authority that this one has signed, as PEM. With it, those
// that trust only this authority accept what the other one issues.
func (a *Authority) CrossSign(other *Authority) (string, error) {
	template := &x509.Certificate{
		Subject: other.cert.Subject, NotBefore: other.cert.NotBefore, NotAfter: other.cert.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: other.cert.KeyUsage, SubjectKeyId: other.cert.SubjectKeyId,
	}
	if a.cert.NotAfter.Before(template.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	return a.Issue(template, other.cert.PublicKey)
}

// PEM returns the authority's own certificate.
func (a *Authority) PEM() string { return encodePEM("CERTIFICATE", a.cert.Raw) }

// KeyPEM returns the authority's private key as PKCS #8 in PEM.
func (a *Authority) KeyPEM() (string, error) { return KeyPEM(a.key) }

// CA returns the authority's own certificate. It must not be changed.
func (a *Authority) CA() *x509.Certificate { return a.cert }

// Pool returns a pool that holds the certificate of this authority only.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Issue returns a certificate for the public key as PEM, made from the template. It sets the
// template's serial number to a random one.
func (a *Authority) Issue(template *x509.Certificate, key crypto.PublicKey) (string, error) {
	der, err := a.issue(template, key)
	if err != nil {
		return "", err
	}
	return encodePEM("CERTIFICATE", der), nil
}

func (a *Authority) issue(template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return der, nil
}

// CRL returns a certificate revocation list of the authority as PEM, made from the template: its
// entries, number, thisUpdate and nextUpdate.
func (a *Authority) CRL(template *x509.RevocationList) (string, error) {
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		return "", fmt.Errorf("make a revocation list: %w", err)
	}
	return encodePEM("X509 CRL", der), nil
}

// KeyPEM returns a private key as PKCS #8 in PEM.
func KeyPEM(key crypto.Signer) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encode a key: %w", err)
	}
	return encodePEM("PRIVATE KEY", der), nil
}

// readKey parses the first private key in a text: PKCS #8 in PEM.
func readKey(text []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(text)
	for block != nil && block.Type == "CERTIFICATE" {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, errors.New("not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of the type %T cannot sign", key)
	}
	return signer, nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
