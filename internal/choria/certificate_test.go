package choria

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math"
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
		"one more":          {strings.Repeat(good, maxCertificates+1), ErrLimit},
		"a large key":       {good + ca.Certificate(large, nil, "x"), ErrLimit},
		"a large exponent":  {good + ca.Certificate(&rsa.PublicKey{N: key.N, E: 65539}, nil, "x"), ErrLimit},
		"a long text":       {strings.Repeat(" ", maxChainBytes) + good, ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			checkError(t, verify(newVerifier(ca.Pool(), nil), signedRequest(t, key, test.text), validTime), test.want)
		})
	}
}

// fastest returns the shortest duration of several calls.
func fastest(calls int, call func()) time.Duration {
	shortest := time.Hour
	for range calls {
		start := time.Now()
		call()
		shortest = min(shortest, time.Since(start))
	}
	return shortest
}

func TestVerifier_HostileChainCostsLittle(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := authority.New(t, validTime)
	good := signedRequest(t, key, ca.Certificate(key.Public(), nil, "web1"))
	normal := fastest(20, func() { checkError(t, verify(newVerifier(ca.Pool(), nil), good, validTime), nil) })
	large, allowed := authority.NewHostileKey(t, 8192, math.MaxInt32),
		authority.NewHostileKey(t, maxKeyBits, maxExponent)
	for name, test := range map[string]struct {
		chain string
		want  error
	}{
		"large keys":        {authority.HostileChain(t, large, 8, "Hostile CA", validTime), ErrLimit},
		"within the limits": {authority.HostileChain(t, allowed, maxCertificates, "Hostile CA", validTime), ErrUntrusted},
		"under the root":    {authority.HostileChain(t, allowed, maxCertificates, "Test CA", validTime), ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			m := signedRequest(t, key, test.chain)
			v := newVerifier(ca.Pool(), nil)
			first := fastest(10, func() {
				v = newVerifier(ca.Pool(), nil)
				checkError(t, verify(v, m, validTime), test.want)
			})
			again := fastest(10, func() { checkError(t, verify(v, m, validTime), test.want) })
			t.Logf("normal %s, first %s, again %s", normal, first, again)
			if first > 10*normal || again > normal {
				t.Errorf("a normal message takes %s, a hostile one %s, the same again %s", normal, first, again)
			}
		})
	}
}

func TestVerifier_ForgetsFailures(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := authority.New(t, validTime)
	soon := func(c *x509.Certificate) { c.NotBefore = validTime.Add(time.Second) }
	m := signedRequest(t, key, ca.Certificate(key.Public(), soon, "web1"))
	v := newVerifier(ca.Pool(), nil)
	checkError(t, verify(v, m, validTime), ErrExpired)
	checkError(t, verify(v, m, validTime.Add(failedFor-time.Second)), ErrExpired) // remembered
	checkError(t, verify(v, m, validTime.Add(failedFor)), nil)

	v = newVerifier(authority.New(t, validTime).Pool(), nil)
	later := validTime.Add(time.Minute)
	checkError(t, verify(v, m, later), ErrUntrusted)
	v.TrustRoots(ca.Pool())
	checkError(t, verify(v, m, later), nil)
}

// TestVerifier_AcceptsIntermediates has two CAs between the root and the node, in either order.
func TestVerifier_AcceptsIntermediates(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	root := authority.New(t, validTime)
	issue := func(
		issuer *x509.Certificate, by crypto.Signer, name string, till time.Time,
	) (*x509.Certificate, *ecdsa.PrivateKey, string) {
		t.Helper()
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: validTime.Add(-time.Hour), NotAfter: till,
			IsCA: name != "web1", BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		public := crypto.PublicKey(own.Public())
		if name == "web1" {
			public, template.ExtKeyUsage = key.Public(), []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}
		if issuer == nil {
			text := root.Certificate(public, func(c *x509.Certificate) { *c = *template }, name)
			block, _ := pem.Decode([]byte(text))
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			return c, own, text
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, by)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, own, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	till := validTime.Add(time.Hour)
	upper, upperKey, upperText := issue(nil, nil, "upper", till)
	lower, lowerKey, lowerText := issue(upper, upperKey, "lower", till)
	_, _, leaf := issue(lower, lowerKey, "web1", till)
	expired, expiredKey, expiredText := issue(upper, upperKey, "expired", validTime.Add(-time.Minute))
	_, _, underExpired := issue(expired, expiredKey, "web1", till)
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"in order":          {leaf + lowerText + upperText, nil},
		"in reverse":        {leaf + upperText + lowerText, nil},
		"with the root":     {leaf + lowerText + upperText + root.PEM(), nil},
		"one is missing":    {leaf + upperText, ErrUntrusted},
		"issuer is expired": {underExpired + expiredText + upperText, ErrExpired},
	} {
		t.Run(name, func(t *testing.T) {
			checkError(t, verify(newVerifier(root.Pool(), nil), signedRequest(t, key, test.text), validTime), test.want)
		})
	}
}
