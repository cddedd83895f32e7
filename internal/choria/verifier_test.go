package choria

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
)

// captured is a verifier that trusts those under whom the captures were made.
func captured(tb testing.TB) *Verifier {
	tb.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(tb, "creds/ca.pem")) {
		tb.Fatal("no CA")
	}
	key, err := PublicKey(string(read(tb, "creds/issuer.public")))
	if err != nil {
		tb.Fatal(err)
	}
	return trusting(roots, Issuers{"choria": key})
}

// trusting is a verifier that trusts the roots, where there are any, and the issuers.
func trusting(roots *x509.CertPool, issuers Issuers) *Verifier {
	v := NewVerifier(NewTokenVerifier(issuers, Signers{}))
	v.TrustRoots(roots)
	return v
}

// when is a time at which everything captured is valid.
var when = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestCapturesVerifyOrSayWhyNot(t *testing.T) {
	v := captured(t)
	// Clients speak for themselves from a host called vm; they register nothing.
	exceptions := map[string]error{
		"v1-mtls/registration-file-wrong-cert.transport.json": ErrWrongName,
		"v1-mtls/rpc-broadcast-request.transport.json":        ErrWrongName,
		"v1-mtls/rpc-direct-request.transport.json":           ErrWrongName,
		"v2-issuer/rpc-broadcast-request.transport.json":      ErrUntrusted,
		"v2-issuer/rpc-direct-request.transport.json":         ErrUntrusted,
		"v2-issuer/rpc-direct-request-chain.transport.json":   ErrUntrusted,
		"v1-anon-jwt/registration-file.transport.json":        ErrUnsigned,
		"v1-anon-jwt/registration-inventory.transport.json":   ErrUnsigned,
		"v1-insecure/registration-file.transport.json":        ErrUnsigned,
		"v1-mtls/rpc-broadcast-reply.transport.json":          ErrUnsigned,
		"v1-mtls/rpc-direct-reply.transport.json":             ErrUnsigned,
		"v1-mtls/rpc-async-reply.transport.json":              ErrUnsigned,
	}
	for _, c := range captures(t, "registration", "transport") {
		m, err := c.parse(read(t, c.File))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from memory
			how, err := v.Verify(m, when)
			want := VerifiedX509
			if m.Protocol == V2 {
				want = VerifiedJWT
			}
			if except := exceptions[c.File]; except != nil {
				if !errors.Is(err, except) || how != "" || Reason(err) != except.Error() {
					t.Errorf("%s: %q %v, want %v", c.File, how, err, except)
				}
			} else if err != nil || how != want {
				t.Errorf("%s: %q %v", c.File, how, err)
			}
		}
		if _, err := trusting(nil, nil).Verify(m, when); err == nil {
			t.Errorf("%s: verified against nothing", c.File)
		}
	}
}

// TestEveryByteCounts changes each byte of what proves who wrote a message.
func TestEveryByteCounts(t *testing.T) {
	v := captured(t)
	signature := []error{ErrWrongSignature}
	for _, c := range captures(t, "registration", "transport") {
		m, err := c.parse(read(t, c.File))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(m, when); err != nil {
			continue // not signed by a node
		}
		flip := func(part string, text []byte, set func(*Message, []byte), allowed []error) {
			t.Helper()
			for at := range text {
				changed := bytes.Clone(text)
				changed[at] ^= 1
				n := *m
				set(&n, changed)
				if _, err := v.Verify(&n, when); !slices.ContainsFunc(allowed, func(e error) bool { return errors.Is(err, e) }) {
					t.Fatalf("%s: byte %d of the %s: %v", c.File, at, part, err)
				}
			}
		}
		flip("signed part", m.Proof.Signed, func(n *Message, b []byte) { n.Proof.Signed = b }, signature)
		raw, err := base64.StdEncoding.DecodeString(m.Proof.Signature)
		if err != nil {
			t.Fatal(err)
		}
		flip("signature", raw, func(n *Message, b []byte) { n.Proof.Signature = base64.StdEncoding.EncodeToString(b) }, signature)
		if m.Protocol == V2 {
			flip("token", []byte(m.Proof.Token), func(n *Message, b []byte) { n.Proof.Token = string(b) }, []error{ErrUntrusted})
			continue
		}
		block, _ := pem.Decode([]byte(m.Proof.Certificate))
		flip("certificate", block.Bytes, func(n *Message, b []byte) {
			n.Proof.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}))
		}, []error{ErrUntrusted, ErrExpired})
	}
}

func TestNamesMustAgreeEverywhere(t *testing.T) {
	v := captured(t)
	for _, file := range []string{fileV1, fileV2} {
		m, err := parseRequest(read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		for name, edit := range map[string]func(*Message){
			"sender":           func(n *Message) { n.Sender = "node2.example.net" },
			"caller":           func(n *Message) { n.Caller = strings.Replace(n.Caller, "node1", "node2", 1) },
			"caller malformed": func(n *Message) { n.Caller = "=" },
			"caller and more":  func(n *Message) { n.Caller += "/x" },
			"transport":        func(n *Message) { n.TransportSender = "node2.example.net" },
		} {
			n := *m
			edit(&n)
			if _, err := v.Verify(&n, when); !errors.Is(err, ErrWrongName) {
				t.Errorf("%s: %s: %v", file, name, err)
			}
		}
		n := *m
		n.TransportSender = "" // it need not be there
		if _, err := v.Verify(&n, when); err != nil {
			t.Errorf("%s: without a transport sender: %v", file, err)
		}
	}
}

func TestValidityIsJudgedAtReception(t *testing.T) {
	for _, file := range []string{fileV1, fileV2, "v2-issuer/registration-file-chain.transport.json"} {
		m, err := parseRequest(read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		for name, now := range map[string]time.Time{"before": when.AddDate(-10, 0, 0), "after": when.AddDate(30, 0, 0)} {
			v := captured(t)
			if _, err := v.Verify(m, now); !errors.Is(err, ErrExpired) {
				t.Errorf("%s: %s: %v", file, name, err)
			}
			if _, err := v.Verify(m, when); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if _, err := v.Verify(m, now); !errors.Is(err, ErrExpired) {
				t.Errorf("%s: %s, from memory: %v", file, name, err)
			}
		}
	}
}

func TestCertificatesThatProveNothing(t *testing.T) {
	ca, stranger := authority.New(t, when), authority.New(t, when)
	v := trusting(ca.Pool(), nil)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	another, err := rsa.GenerateKey(rand.Reader, 2048)
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
		"by another name":   {ca.Certificate(key.Public(), nil, "x", "web1"), nil},
		"with the CA":       {good + ca.PEM(), nil},
		"a stranger's":      {stranger.Certificate(key.Public(), nil, "web1"), ErrUntrusted},
		"for servers":       {ca.Certificate(key.Public(), forServers, "web1"), ErrUntrusted},
		"another's":         {ca.Certificate(key.Public(), nil, "web2"), ErrWrongName},
		"no RSA":            {ca.Certificate(elliptical.Public(), nil, "web1"), ErrUntrusted},
		"no PEM":            {"certificate", ErrUntrusted},
		"PEM of nothing":    {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ErrUntrusted},
		"another key":       {ca.Certificate(another.Public(), nil, "web1"), ErrWrongSignature},
		"insecure":          {"insecure", ErrUnsigned},
		"registration only": {"insecure registration", ErrUnsigned},
	} {
		r := NewRegistration(strings.Repeat("0", 32), "web1", "mcollective", when, []byte("{}"))
		r.Caller = "choria=web1"
		raw, err := r.EncodeV1(key, test.certificate)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseRequest(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(m, when); !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// next changes the bits of a base64 letter that stand for no byte at the end of a token.
// checkChain breaks each link of a chained token's chain.
func TestReplysHashAndSignatureCount(t *testing.T) {
	v := captured(t)
	m, err := parseReply(read(t, replyV2File))
	if err != nil {
		t.Fatal(err)
	}
	if how, err := v.Verify(m, when); err != nil || how != VerifiedJWT {
		t.Errorf("%s %v", how, err)
	}
	changed := *m
	changed.Proof.Signed = append([]byte(" "), m.Proof.Signed...)
	sum := sha256.Sum256(changed.Proof.Signed)
	changed.Proof.Hash = base64.StdEncoding.EncodeToString(sum[:]) // which anybody can make
	if _, err := v.Verify(&changed, when); !errors.Is(err, ErrWrongSignature) {
		t.Errorf("a reply with a new hash: %v", err)
	}
	for name, edit := range map[string]func(*Message){
		"no hash":    func(n *Message) { n.Proof.Hash = "" },
		"wrong hash": func(n *Message) { n.Proof.Hash = "AAAA" },
	} {
		n := *m
		edit(&n)
		if _, err := v.Verify(&n, when); !errors.Is(err, ErrWrongSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bare := *m
	bare.Proof.Signature = ""
	if _, err := v.Verify(&bare, when); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a reply without signature: %v", err)
	}
}

func TestOtherRootsTakeTheOldOnesPlace(t *testing.T) {
	v := captured(t)
	m, err := parseRequest(read(t, fileV1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(m, when); err != nil {
		t.Fatal(err)
	}
	v.TrustRoots(authority.New(t, when).Pool())
	if _, err := v.Verify(m, when); !errors.Is(err, ErrUntrusted) {
		t.Errorf("from memory, under roots that are gone: %v", err)
	}
}

func TestACertificateThatHasExpiredSinceWasGoodThen(t *testing.T) {
	then := when.AddDate(-5, 0, 0)
	ca := authority.New(t, then)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRegistration(strings.Repeat("0", 32), "web1", "mcollective", then, []byte("{}"))
	r.Caller = "choria=web1"
	raw, err := r.EncodeV1(key, ca.Certificate(key.Public(), nil, "web1"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trusting(ca.Pool(), nil).Verify(m, then); err != nil {
		t.Errorf("when it was received: %v", err)
	}
	if _, err := trusting(ca.Pool(), nil).Verify(m, when); !errors.Is(err, ErrExpired) {
		t.Errorf("now: %v", err)
	}
}

// chain is an organization, a Chain Issuer under it, and a node's key, all made for a test.
// token is one that the Chain Issuer signs in the right way, over whatever edit makes of it.

// signed is a registration of web1 with that certificate.
func signed(t *testing.T, key *rsa.PrivateKey, certificate string) *Message {
	t.Helper()
	r := NewRegistration(strings.Repeat("0", 32), "web1", "mcollective", when, []byte("{}"))
	r.Caller = "choria=web1"
	raw, err := r.EncodeV1(key, certificate)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestACertificateIsGoodAsLongAsOneWayToTheCAIs(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := authority.New(t, when) // until a year later
	long := func(c *x509.Certificate) { c.NotAfter = when.AddDate(5, 0, 0) }
	m := signed(t, key, ca.Certificate(key.Public(), long, "web1"))
	v := trusting(ca.Pool(), nil)
	if _, err := v.Verify(m, when); err != nil {
		t.Fatal(err)
	}
	later := when.AddDate(2, 0, 0)
	if _, err := v.Verify(m, later); !errors.Is(err, ErrExpired) {
		t.Errorf("after the CA's end: %v", err)
	}
	// The CA renewed with the same key, beside the old one.
	both := ca.Pool()
	both.AppendCertsFromPEM([]byte(ca.Renew(when.AddDate(10, 0, 0))))
	v.TrustRoots(both)
	for _, now := range []time.Time{when, later, when} {
		if _, err := v.Verify(m, now); err != nil {
			t.Errorf("under either: at %s: %v", now.Format(time.DateOnly), err)
		}
	}
}

func TestASenderCannotMakeUsWork(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := authority.New(t, when)
	good := ca.Certificate(key.Public(), nil, "web1")
	if _, err := trusting(ca.Pool(), nil).Verify(signed(t, key, strings.Repeat(good, maxCertificates)), when); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
	large := &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), maxKeyBits), 0, 1), E: 65537}
	for what, text := range map[string]string{
		"many certificates": strings.Repeat(good, maxCertificates+1),
		"a large key":       good + ca.Certificate(large, nil, "x"),
	} {
		if _, err := trusting(ca.Pool(), nil).Verify(signed(t, key, text), when); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestLineFeedsInBase64AreNotReadOver(t *testing.T) {
	v := captured(t)
	request, err := parseRequest(read(t, fileV2))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := parseReply(read(t, replyV2File))
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"\n", "\r"} {
		n := *request
		n.Proof.Token += end
		if _, err := v.Verify(&n, when); !errors.Is(err, ErrUntrusted) {
			t.Errorf("token: %v", err)
		}
		n = *request
		n.Proof.Signature += end
		if _, err := v.Verify(&n, when); !errors.Is(err, ErrWrongSignature) {
			t.Errorf("signature: %v", err)
		}
		n = *reply
		n.Proof.Hash += end
		if _, err := v.Verify(&n, when); !errors.Is(err, ErrWrongSignature) {
			t.Errorf("hash: %v", err)
		}
	}
}
