package choria

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/revocation"
	"github.com/muster-appliance/muster/internal/testkit/authority"
)

// revokedBy returns the lists of CRLs in PEM texts under the CA.
func revokedBy(t *testing.T, ca *authority.Authority, previous *revocation.Lists, texts ...string) *revocation.Lists {
	t.Helper()
	crls, err := revocation.ParseCRLs([]byte(strings.Join(texts, "")))
	if err != nil {
		t.Fatal(err)
	}
	return revocation.NewLists(crls, []*x509.Certificate{ca.CA()}, previous, validTime)
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestVerifier_NewListsReplaceCachedResults verifies the same message before and after each change.
func TestVerifier_NewListsReplaceCachedResults(t *testing.T) {
	ca, key := authority.New(t, validTime), rsaKey(t)
	below := ca.Intermediate("below")
	direct := ca.Certificate(key.Public(), nil, "web1")
	chained := below.Certificate(key.Public(), nil, "web1") + below.PEM()
	cas := []*x509.Certificate{ca.CA()}
	empty := ca.CRL(nil) + below.CRL(nil) // older than those that revoke
	for name, test := range map[string]struct{ certificate, crl string }{
		"a node":           {direct, ca.CRL(nil, direct)},
		"an intermediate":  {chained, ca.CRL(nil, below.PEM())},
		"of intermediates": {chained, ca.CRL(nil) + below.CRL(nil, chained)},
	} {
		t.Run(name, func(t *testing.T) {
			m := signedRequest(t, key, test.certificate)
			v := NewVerifier(NewTokenVerifier(nil, Signers{}))
			v.Trust(cas, nil)
			checkError(t, verify(v, m, validTime), nil)
			presented, err := parseChain(test.certificate)
			if err != nil {
				t.Fatal(err)
			}
			connection, err := v.VerifyCertificates(presented, validTime)
			checkError(t, err, nil)
			none := revokedBy(t, ca, nil, empty)
			v.Trust(cas, none)
			checkError(t, verify(v, m, validTime), nil)
			checkError(t, v.CheckCertificate(connection, validTime), nil)
			if connection, err = v.VerifyCertificates(presented, validTime); err != nil {
				t.Fatal(err)
			}
			v.Trust(cas, revokedBy(t, ca, none, test.crl))
			for range 2 { // the second time from the cache
				checkError(t, verify(v, m, validTime), ErrRevoked)
				_, err = v.VerifyCertificates(presented, validTime)
				checkError(t, err, ErrRevoked)
				checkError(t, v.CheckCertificate(connection, validTime), ErrRevoked)
			}
			v.Trust(cas, none)
			checkError(t, verify(v, m, validTime), nil)
		})
	}
}

// TestVerifier_CachesEachCertificateOnce presents a certificate in many forms, as a sender could do to
// fill the cache: with other text around it, and with other certificates beside it.
func TestVerifier_CachesEachCertificateOnce(t *testing.T) {
	ca, key := authority.New(t, validTime), rsaKey(t)
	v := newVerifier(ca.Pool(), nil)
	others := []string{ca.Certificate(key.Public(), nil, "web2"), ca.Certificate(key.Public(), nil, "web3")}
	for _, text := range others {
		_, err := v.certificates.identify(text, validTime)
		checkError(t, err, nil)
	}
	text := ca.Certificate(key.Public(), nil, "web1")
	stranger, _ := authority.New(t, validTime).Pair(nil, "x")
	for n := range 100 {
		variation := strings.Repeat("\n", n) + text
		if n%2 == 0 {
			variation += strings.Repeat(stranger, 1+n%3)
		}
		checkError(t, verify(v, signedRequest(t, key, variation), validTime), nil)
	}
	if verified, texts := v.certificates.verified.Len(), v.certificates.texts.Len(); verified != 3 || texts != 3 {
		t.Errorf("%d certificates and %d texts are cached, want 3 of each", verified, texts)
	}
}

func TestTokenVerifier_RemembersFailures(t *testing.T) {
	public, issuer, _ := ed25519.GenerateKey(rand.Reader)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	tokens := NewTokenVerifier(Issuers{"choria": public}, Signers{})
	issue := func(key ed25519.PrivateKey, from time.Time) string {
		text, err := IssueToken(ServerClaims("web1", nil, public), key, from, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	foreign, soon := issue(stranger, validTime), issue(issuer, validTime.Add(time.Second))
	for range 3 {
		_, err := tokens.Verify(foreign, validTime)
		checkError(t, err, ErrUntrusted)
	}
	if n := tokens.failed.cache.Len(); n != 1 {
		t.Errorf("%d failures are remembered, want 1", n)
	}
	_, first := NewTokenVerifier(Issuers{"choria": public}, Signers{}).Verify(foreign, validTime)
	if _, again := tokens.Verify(foreign, validTime); fmt.Sprint(first) != fmt.Sprint(again) {
		t.Errorf("first %v, then %v", first, again)
	}
	for at, want := range map[time.Duration]error{0: ErrExpired, failedFor - time.Second: ErrExpired, failedFor: nil} {
		fresh := NewTokenVerifier(Issuers{"choria": public}, Signers{})
		_, _ = fresh.Verify(soon, validTime)
		_, err := fresh.Verify(soon, validTime.Add(at))
		checkError(t, err, want)
	}
	for n := range failedSize + 10 {
		_, _ = tokens.Verify(fmt.Sprint(n), validTime)
	}
	if n := tokens.failed.cache.Len(); n != failedSize {
		t.Errorf("%d failures are remembered, want %d", n, failedSize)
	}
}

func TestTokenVerifier_RefusesRevoked(t *testing.T) {
	c := newChain()
	organization := c.organization.Public().(ed25519.PublicKey)
	tokens := NewTokenVerifier(Issuers{"choria": organization}, Signers{})
	plain, err := IssueToken(ServerClaims("web1", nil, c.node), c.organization, validTime, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	client, err := IssueToken(clientClaims("choria=rip", nil, c.node), c.organization, validTime, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	chained := c.token(t, func(*Claims) {})
	claims, err := tokens.Verify(plain, validTime)
	if err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string]struct{ plain, chained, client error }{
		"":                    {nil, nil, nil},
		"token " + claims.ID:  {ErrRevoked, nil, nil},
		"identity web1":       {ErrRevoked, ErrRevoked, nil},
		"identity choria=rip": {nil, nil, ErrRevoked},
		revocation.IdentityLine("web1", validTime):                  {nil, nil, nil}, // issued at that time
		revocation.IdentityLine("web1", validTime.Add(time.Second)): {ErrRevoked, ErrRevoked, nil},
		"token issuer":  {nil, ErrRevoked, nil}, // the id of the Chain Issuer's own token
		"issuer issuer": {nil, ErrRevoked, nil},
		fmt.Sprintf("issuer %x", c.issuer.Public()): {nil, ErrRevoked, nil},
		"issuer choria": {ErrRevoked, ErrRevoked, ErrRevoked},
	} {
		t.Run(list, func(t *testing.T) {
			parsed, err := revocation.ParseTokens(list)
			if err != nil {
				t.Fatal(err)
			}
			tokens.Revoke(parsed)
			for text, want := range map[string]error{plain: want.plain, chained: want.chained, client: want.client} {
				_, err := tokens.Verify(text, validTime)
				checkError(t, err, want)
			}
		})
	}
	tokens.Revoke(nil)
	_, err = tokens.Verify(plain, validTime)
	checkError(t, err, nil)
	past, err := IssueToken(ServerClaims("web2", nil, c.node), c.organization, validTime.AddDate(-1, 0, 0), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	both, _ := revocation.ParseTokens("identity web2")
	tokens.Revoke(both)
	_, err = tokens.Verify(past, validTime)
	checkError(t, err, ErrExpired) // both; expired stays expired
}

// BenchmarkVerifier_CachedCertificate measures what a certificate costs that was verified before.
func BenchmarkVerifier_CachedCertificate(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	ca := authority.New(b, validTime)
	text := ca.Certificate(key.Public(), nil, "web1")
	other := "\n" + text
	for name, texts := range map[string][]string{"same text": {text, text}, "other text": {text, other}} {
		b.Run(name, func(b *testing.B) {
			v := newVerifier(ca.Pool(), nil)
			for n := range b.N {
				if _, err := v.certificates.identify(texts[n%2], validTime); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
