package choria

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/segmentio/ksuid"
)

func TestTokensThatProveNothing(t *testing.T) {
	issuerPublic, issuer, _ := ed25519.GenerateKey(rand.Reader)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	otherPublic, _, _ := ed25519.GenerateKey(rand.Reader)
	v := trusting(nil, Issuers{"choria": issuerPublic})
	token := func(identity string, public ed25519.PublicKey, issuer ed25519.PrivateKey) string {
		t.Helper()
		text, err := IssueToken(ServerClaims(identity, []string{"choria"}, public), issuer, when, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	good := token("web1", public, issuer)
	chain := ServerClaims("web1", []string{"choria"}, public)
	chain.TrustChain = "x"
	endless, err := IssueToken(chain, issuer, when, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		token string
		key   ed25519.PrivateKey
		want  error
	}{
		"good":          {good, key, nil},
		"a stranger's":  {token("web1", public, stranger), key, ErrUntrusted},
		"another's":     {token("web2", public, issuer), key, ErrWrongName},
		"another key":   {token("web1", otherPublic, issuer), key, ErrWrongSignature},
		"not signed":    {good, nil, ErrUnsigned},
		"no token":      {"x", key, ErrUntrusted},
		"alg none":      {"eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + ".", key, ErrUntrusted},
		"trailing bits": {good[:len(good)-1] + next(good[len(good)-1]), key, ErrUntrusted},
		"a chain alone": {endless, key, ErrUntrusted},
		"a client's":    {string(read(t, "creds/issuer-rip.jwt")), key, ErrUntrusted},
	} {
		raw, err := NewRegistration("id", "web1", "choria", when, []byte("{}")).EncodeV2(test.key, test.token)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseRequest(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(m, when.Add(time.Minute)); !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		m.Proof.SignerToken = good
		if _, err := v.Verify(m, when.Add(time.Minute)); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: signed for somebody else: %v", name, err)
		}
	}
}

func next(letter byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, letter)^1])
}

func TestTheTrustChainHoldsAtEveryLink(t *testing.T) {
	key, err := PublicKey(string(read(t, "creds/issuer.public")))
	if err != nil {
		t.Fatal(err)
	}
	tokens := NewTokenVerifier(Issuers{"choria": key}, Signers{})
	for _, file := range []string{"issuer-node1", "issuer-node4-chain", "issuer-chain", "issuer-rip", "issuer-bob-chain"} {
		text := strings.TrimSpace(string(read(t, "creds/"+file+".jwt")))
		claims, err := tokens.Verify(text, when)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if strings.HasSuffix(file, "-chain") && file != "issuer-chain" {
			checkChain(t, file, claims, key)
		}
		if _, err := NewTokenVerifier(Issuers{"other": key}, Signers{}).Verify(text, when); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s of another organization: %v", file, err)
		}
	}
}

func checkChain(t *testing.T, file string, claims *Claims, organization ed25519.PublicKey) {
	t.Helper()
	if _, err := claims.chainIssuer(organization); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	vouched, own, _ := strings.Cut(claims.TrustChain, ".")
	for name, edit := range map[string]func(*Claims){
		"no key":           func(c *Claims) { c.PublicKey = "" },
		"no iat":           func(c *Claims) { c.IssuedAt = nil },
		"no exp":           func(c *Claims) { c.ExpiresAt = nil },
		"no issexp":        func(c *Claims) { c.IssuerExpiresAt = nil },
		"jti no KSUID":     func(c *Claims) { c.ID = "x" },
		"jti of another":   func(c *Claims) { c.ID = "3MUlxXPuAFZd8tY2AXJu8upoX9Q" },
		"iat moved":        func(c *Claims) { c.IssuedAt.Time = c.IssuedAt.Add(time.Second) },
		"iss of another":   func(c *Claims) { c.Issuer = "C-x." + strings.Split(c.Issuer, ".")[1] },
		"iss without key":  func(c *Claims) { c.Issuer = "C-x" },
		"iss with no key":  func(c *Claims) { c.Issuer = "C-x.y" },
		"iss other key":    func(c *Claims) { c.Issuer = fmt.Sprintf("%s.%x", strings.Split(c.Issuer, ".")[0], other.Public()) },
		"one signature":    func(c *Claims) { c.TrustChain = vouched },
		"own for both":     func(c *Claims) { c.TrustChain = own + "." + own },
		"vouched for both": func(c *Claims) { c.TrustChain = vouched + "." + vouched },
		"no hex":           func(c *Claims) { c.TrustChain = "x.y" },
	} {
		changed := *claims
		issued := *claims.IssuedAt
		changed.IssuedAt = &issued
		edit(&changed)
		if _, err := changed.chainIssuer(organization); err == nil {
			t.Errorf("%s: %s: the chain holds", file, name)
		}
	}
}

func TestSignersSignWhereThereIsNoOrganization(t *testing.T) {
	public, signer, _ := ed25519.GenerateKey(rand.Reader)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	holder, _, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	node, client := ServerClaims("web1", nil, holder), clientClaims("choria=rip", nil, holder)
	withRSA := func(c Claims) string {
		t.Helper()
		text, err := jwt.NewWithClaims(jwt.SigningMethodRS256, c).SignedString(rsaKey)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	issued := func(c Claims, key ed25519.PrivateKey) string {
		t.Helper()
		text, err := IssueToken(c, key, when, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	both := Signers{Server: []crypto.PublicKey{rsaKey.Public(), public}}
	for name, test := range map[string]struct {
		signers Signers
		token   string
		want    error
	}{
		"second of two":        {both, issued(node, signer), nil},
		"RSA":                  {both, withRSA(node), nil},
		"a stranger's":         {both, issued(node, stranger), ErrUntrusted},
		"no signer of clients": {both, issued(client, signer), ErrUntrusted},
		"a client's":           {Signers{Client: []crypto.PublicKey{public}}, issued(client, signer), nil},
		"nobody signs":         {Signers{}, issued(node, signer), ErrUntrusted},
		"names nobody":         {both, issued(ServerClaims("", nil, holder), signer), ErrUntrusted},
		"without a key":        {both, issued(ServerClaims("web1", nil, nil), signer), ErrUntrusted},
		"another purpose":      {both, issued(Claims{Purpose: "choria_provisioning", Identity: "x", PublicKey: node.PublicKey}, signer), ErrUntrusted},
		"RSA for an issuer":    {Signers{}, withRSA(node), ErrUntrusted},
	} {
		tokens := NewTokenVerifier(nil, test.signers)
		if name == "RSA for an issuer" {
			tokens = NewTokenVerifier(Issuers{"choria": public}, Signers{})
		}
		if _, err := tokens.Verify(test.token, when); !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestANodeWithAnonymousTLSHasATokenOfASigner(t *testing.T) {
	key, err := PublicKey(strings.TrimSpace(string(read(t, "creds/v1-anon-signer.public"))))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(string(read(t, "creds/v1-anon-node1.jwt")))
	claims, err := NewTokenVerifier(nil, Signers{Server: []crypto.PublicKey{key}}).Verify(text, when)
	if err != nil || claims.Name() != "node1.example.net" {
		t.Errorf("%+v %v", claims, err)
	}
	if purpose := TokenPurpose(text); purpose != PurposeServer {
		t.Errorf("its purpose is %q", purpose)
	}
	if purpose := TokenPurpose("x"); purpose != "" {
		t.Errorf("the purpose of no token is %q", purpose)
	}
}

func TestWhoHoldsATokensKeyCanSign(t *testing.T) {
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	claims := ServerClaims("web1", nil, public)
	signed := []byte("a nonce")
	if err := claims.CheckSignature(signed, ed25519.Sign(key, signed)); err != nil {
		t.Error(err)
	}
	if err := claims.CheckSignature([]byte("another nonce"), ed25519.Sign(key, signed)); !errors.Is(err, ErrWrongSignature) {
		t.Error(err)
	}
}

type chain struct {
	organization, issuer ed25519.PrivateKey
	node                 ed25519.PublicKey
}

func newChain() chain {
	_, organization, _ := ed25519.GenerateKey(rand.Reader)
	_, issuer, _ := ed25519.GenerateKey(rand.Reader)
	node, _, _ := ed25519.GenerateKey(rand.Reader)
	return chain{organization, issuer, node}
}

func (c chain) token(t *testing.T, edit func(*Claims)) string {
	t.Helper()
	id, err := ksuid.NewRandomWithTime(when)
	if err != nil {
		t.Fatal(err)
	}
	claims := ServerClaims("web1", []string{"choria"}, c.node)
	claims.RegisteredClaims = jwt.RegisteredClaims{
		ID: id.String(), IssuedAt: jwt.NewNumericDate(id.Time()), ExpiresAt: jwt.NewNumericDate(when.Add(time.Hour)),
	}
	claims.IssuerExpiresAt = jwt.NewNumericDate(when.Add(2 * time.Hour))
	edit(&claims)
	key := fmt.Sprintf("%x", c.issuer.Public())
	vouched := fmt.Sprintf("%x", ed25519.Sign(c.organization, []byte("issuer."+key)))
	own := fmt.Sprintf("%x", ed25519.Sign(c.issuer, []byte(claims.ID+"."+vouched)))
	claims.Issuer, claims.TrustChain = "C-issuer."+key, vouched+"."+own
	text, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(c.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAChainedTokenLacksNothing(t *testing.T) {
	c := newChain()
	tokens := NewTokenVerifier(Issuers{"choria": c.organization.Public().(ed25519.PublicKey)}, Signers{})
	for name, test := range map[string]struct {
		edit func(*Claims)
		want error
	}{
		"whole":                    {func(*Claims) {}, nil},
		"its id no KSUID":          {func(c *Claims) { c.ID = "x" }, ErrUntrusted},
		"its id of another time":   {func(c *Claims) { c.IssuedAt = jwt.NewNumericDate(when.Add(-time.Minute)) }, ErrUntrusted},
		"no time of issue":         {func(c *Claims) { c.IssuedAt = nil }, ErrUntrusted},
		"no end":                   {func(c *Claims) { c.ExpiresAt = nil }, ErrUntrusted},
		"no end of its issuer":     {func(c *Claims) { c.IssuerExpiresAt = nil }, ErrUntrusted},
		"the end of its issuer":    {func(c *Claims) { c.IssuerExpiresAt = jwt.NewNumericDate(when.Add(-time.Second)) }, ErrExpired},
		"its own end":              {func(c *Claims) { c.ExpiresAt = jwt.NewNumericDate(when.Add(-time.Second)) }, ErrExpired},
		"for nobody":               {func(c *Claims) { c.Identity = "" }, ErrUntrusted},
		"for another organization": {func(c *Claims) { c.OrgUnit = "x" }, ErrUntrusted},
	} {
		if _, err := tokens.Verify(c.token(t, test.edit), when); !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	other := newChain()
	stranger := NewTokenVerifier(Issuers{"choria": other.organization.Public().(ed25519.PublicKey)}, Signers{})
	if _, err := stranger.Verify(c.token(t, func(*Claims) {}), when); !errors.Is(err, ErrUntrusted) {
		t.Errorf("under another organization: %v", err)
	}
}
