package authority

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"
)

// HostileKey is an RSA key of any size with any exponent, made in a moment: its modulus has many small
// prime factors.
type HostileKey struct {
	public  rsa.PublicKey
	private *big.Int
}

// NewHostileKey makes a key. bits is a multiple of 256.
func NewHostileKey(tb testing.TB, bits, exponent int) *HostileKey {
	tb.Helper()
	const factorBits = 256
	k := &HostileKey{rsa.PublicKey{N: big.NewInt(1), E: exponent}, nil}
	order, one, e := big.NewInt(1), big.NewInt(1), big.NewInt(int64(exponent))
	for range bits / factorBits {
		factor, err := rand.Prime(rand.Reader, factorBits)
		if err != nil {
			tb.Fatal(err)
		}
		k.public.N.Mul(k.public.N, factor)
		order.Mul(order, factor.Sub(factor, one))
	}
	if k.private = new(big.Int).ModInverse(e, order); k.private == nil {
		return NewHostileKey(tb, bits, exponent) // a factor does not suit the exponent
	}
	return k
}

// Public returns the public key.
func (k *HostileKey) Public() crypto.PublicKey { return &k.public }

// Sign signs with PKCS #1 v1.5 and SHA-256.
func (k *HostileKey) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	prefix, err := hex.DecodeString("3031300d060960864801650304020105000420")
	size := k.public.Size()
	block := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-3-len(prefix)-len(digest))...)
	block = append(append(append(block, 0), prefix...), digest...)
	number := new(big.Int).SetBytes(block)
	return number.Exp(number, k.private, k.public.N).FillBytes(make([]byte, size)), err
}

// HostileChain returns certificates, as PEM, that the key has signed, valid for an hour before and
// after the time. All are of a CA named "Hostile CA" with that key, so that each may have issued any
// other. Their issuer has that name too, or another.
func HostileChain(tb testing.TB, key *HostileKey, count int, issuer string, when time.Time) string {
	tb.Helper()
	var text strings.Builder
	for n := range count {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(n + 1)), Subject: pkix.Name{CommonName: "Hostile CA"},
			DNSNames:  []string{fmt.Sprintf("web%d", n+1)},
			NotBefore: when.Add(-time.Hour), NotAfter: when.Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		parent := &x509.Certificate{Subject: pkix.Name{CommonName: issuer}}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			tb.Fatal(err)
		}
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return text.String()
}
