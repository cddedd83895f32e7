package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"
	"time"
)

func TestReadAuthority_ReadsWhatPEMReturned(t *testing.T) {
	now := time.Now()
	a, err := NewAuthority("CA", now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	private, err := a.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadAuthority([]byte(a.PEM()), []byte(private))
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text, err := again.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "web1"}, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Minute),
	}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(text))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		t.Error(err)
	}
	keyText, err := KeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair([]byte(text), []byte(keyText)); err != nil {
		t.Error(err)
	}
}

func TestReadAuthority_RejectsInvalidPairs(t *testing.T) {
	now := time.Now()
	a, err := NewAuthority("CA", now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := KeyPEM(other)
	if err != nil {
		t.Fatal(err)
	}
	key, err := a.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]struct{ certificate, key string }{
		"certificate not PEM": {"x", key},
		"key as certificate":  {key, key},
		"key not PEM":         {a.PEM(), "x"},
		"certificate as key":  {a.PEM(), a.PEM()},
		"key of another pair": {a.PEM(), otherKey},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ReadAuthority([]byte(pair.certificate), []byte(pair.key)); err == nil {
				t.Error("accepted")
			}
		})
	}
}
