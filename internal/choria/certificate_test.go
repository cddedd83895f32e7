package choria

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
)

func TestVerifier_ChecksCertificates(t *testing.T) {
	ca, otherCA := authority.New(t, validTime), authority.New(t, validTime)
	v := newVerifier(ca.Pool(), nil)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forServers := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	good := ca.Certificate(key.Public(), nil, "web1")
	for name, test := range map[string]struct {
		certificate string
		want        error
	}{
		"good":              {good, nil},
		"second name":       {ca.Certificate(key.Public(), nil, "x", "web1"), nil},
		"with the CA":       {good + ca.PEM(), nil},
		"other CA":          {otherCA.Certificate(key.Public(), nil, "web1"), ErrUntrusted},
		"for servers":       {ca.Certificate(key.Public(), forServers, "web1"), ErrUntrusted},
		"other name":        {ca.Certificate(key.Public(), nil, "web2"), ErrWrongName},
		"not RSA":           {ca.Certificate(ecKey.Public(), nil, "web1"), ErrUntrusted},
		"not PEM":           {"certificate", ErrUntrusted},
		"not a certificate": {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ErrUntrusted},
		"other key":         {ca.Certificate(otherKey.Public(), nil, "web1"), ErrWrongSignature},
		"insecure":          {"insecure", ErrUnsigned},
		"registration only": {"insecure registration", ErrUnsigned},
	} {
		t.Run(name, func(t *testing.T) {
			checkError(t, verify(v, signedRequest(t, key, test.certificate), validTime), test.want)
		})
	}
}

func TestVerifier_CertificateExpires(t *testing.T) {
	then := validTime.AddDate(-5, 0, 0)
	ca := authority.New(t, then)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	m := signedRequest(t, key, ca.Certificate(key.Public(), nil, "web1"))
	checkError(t, verify(newVerifier(ca.Pool(), nil), m, then), nil)
	checkError(t, verify(newVerifier(ca.Pool(), nil), m, validTime), ErrExpired)
}

func TestVerifier_UsesAnyValidChain(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := authority.New(t, validTime) // valid for one more year
	long := func(c *x509.Certificate) { c.NotAfter = validTime.AddDate(5, 0, 0) }
	m := signedRequest(t, key, ca.Certificate(key.Public(), long, "web1"))
	v := newVerifier(ca.Pool(), nil)
	checkError(t, verify(v, m, validTime), nil)
	later := validTime.AddDate(2, 0, 0)
	if _, err := v.Verify(m, later); !errors.Is(err, ErrExpired) {
		t.Errorf("after the CA has expired: %v", err)
	}
	// The pool also holds the CA renewed with the same key.
	both := ca.Pool()
	both.AppendCertsFromPEM([]byte(ca.Renew(validTime.AddDate(10, 0, 0))))
	v.TrustRoots(both)
	for _, now := range []time.Time{validTime, later, validTime} {
		if _, err := v.Verify(m, now); err != nil {
			t.Errorf("under both: at %s: %v", now.Format(time.DateOnly), err)
		}
	}
}

func TestVerifier_TrustRootsReplacesRoots(t *testing.T) {
	v := capturedVerifier(t)
	m, err := parseRequest(read(t, fileV1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(m, validTime); err != nil {
		t.Fatal(err)
	}
	v.TrustRoots(authority.New(t, validTime).Pool())
	if _, err := v.Verify(m, validTime); !errors.Is(err, ErrUntrusted) {
		t.Errorf("from the cache, under replaced roots: %v", err)
	}
}

func TestVerifyChain_LimitsWork(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := authority.New(t, validTime)
	good := ca.Certificate(key.Public(), nil, "web1")
	large := &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), maxKeyBits), 0, 1), E: 65537}
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"most certificates": {strings.Repeat(good, maxCertificates), nil},
		"one more":          {strings.Repeat(good, maxCertificates+1), ErrUntrusted},
		"a large key":       {good + ca.Certificate(large, nil, "x"), ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			checkError(t, verify(newVerifier(ca.Pool(), nil), signedRequest(t, key, test.text), validTime), test.want)
		})
	}
}
