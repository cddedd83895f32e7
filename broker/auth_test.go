package broker

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/tlsfile"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// site is a broker with certificates and an organization issuer, and what it takes to
// connect to it as anybody.
type site struct {
	t      *testing.T
	ca     *authority.Authority
	issuer ed25519.PrivateKey
	broker *Broker
	log    *syncBuffer
}

// openSite runs a broker for the test; edit changes its configuration before.
func openSite(t *testing.T, edit func(*Config)) *site {
	t.Helper()
	public, issuer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, ca: authority.New(t, time.Now()), issuer: issuer, log: &syncBuffer{}}
	dir := t.TempDir()
	s.ca.Files(dir, nil, "broker.test")
	cfg := DefaultConfig()
	cfg.Listen, cfg.TLS = "127.0.0.1:0", filesIn(dir)
	cfg.Issuers = choria.Issuers{"choria": public}
	cfg.Roles.Admin = []string{"root.*"}
	cfg.System = System{User: "system", Password: "secret"}
	if edit != nil {
		edit(&cfg)
	}
	s.broker = New(cfg, DefaultJetStream(), Options{
		Name: "broker.test", Store: t.TempDir(), Now: time.Now,
		Ingest:   []string{"*.broadcast.agent.registration", "choria.registration.>"},
		Private:  []string{"choria.node_metadata.>"},
		Verifier: choria.NewVerifier(cfg.Tokens()),
		Log:      hclog.New(&hclog.LoggerOptions{Output: s.log}),
	})
	t.Cleanup(func() { _ = s.broker.Close(context.Background()) })
	if err := s.broker.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.broker.Accept(); err != nil {
		t.Fatal(err)
	}
	return s
}

// anonymous is TLS without a certificate.
func (s *site) anonymous() nats.Option {
	return nats.Secure(&tls.Config{RootCAs: s.ca.Pool(), MinVersion: tls.VersionTLS12})
}

// certificate is TLS with a certificate of that name.
func (s *site) certificate(name string) nats.Option { return nats.Secure(s.ca.Client(nil, name)) }

// holder has a key and a token for it.
type holder struct {
	token string
	key   ed25519.PrivateKey
}

// issue gives a token that is valid for an hour from now, signed by the key.
func issue(t *testing.T, claims choria.Claims, issuer ed25519.PrivateKey, now time.Time) holder {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims.PublicKey = hex.EncodeToString(public)
	token, err := choria.IssueToken(claims, issuer, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return holder{token, key}
}

func (s *site) node(identity string, permissions ...string) holder {
	claims := choria.ServerClaims(identity, []string{"choria"}, nil)
	claims.Permissions = permitted(permissions)
	return issue(s.t, claims, s.issuer, time.Now())
}

func (s *site) client(caller string, permissions ...string) holder {
	return issue(s.t, clientClaims(caller, permitted(permissions)), s.issuer, time.Now())
}

// clientClaims returns the claims of a client's token; issue adds the public key.
func clientClaims(caller string, permissions map[string]bool) choria.Claims {
	return choria.Claims{Purpose: choria.PurposeClient, OrgUnit: "choria", CallerID: caller, Permissions: permissions}
}

// prefixes parses networks.
func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func permitted(names []string) map[string]bool {
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	return all
}

// options show the token twice and sign the nonce, as Choria does.
func (h holder) options() []nats.Option {
	return []nats.Option{
		nats.Token(h.token),
		nats.UserJWT(func() (string, error) { return h.token, nil }, func(nonce []byte) ([]byte, error) {
			return ed25519.Sign(h.key, nonce), nil
		}),
	}
}

func (s *site) connect(options ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("tls://"+s.broker.Address(), append(options, nats.Timeout(5*time.Second), nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
}

func TestWhoConnectsAndWhoIsRefused(t *testing.T) {
	s := openSite(t, nil)
	stranger := authority.New(t, time.Now())
	_, strangerKey, _ := ed25519.GenerateKey(rand.Reader)
	past := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, -2, 0), time.Now().AddDate(0, -1, 0)
	}
	wrongCA := stranger.Client(nil, "web1")
	wrongCA.RootCAs = s.ca.Pool()
	serversOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	with := func(h holder) []nats.Option { return append(h.options(), s.anonymous()) }
	good := s.node("web1.example.net")
	unsigned := []nats.Option{s.anonymous(), nats.Token(good.token)}
	otherKey := holder{good.token, strangerKey}
	system := nats.UserInfo("system", "secret")

	for name, test := range map[string]struct {
		options []nats.Option
		reason  string // empty: let in
		user    string // who it is then
	}{
		"certificate":                 {[]nats.Option{s.certificate("web1")}, "", "web1"},
		"client's certificate":        {[]nats.Option{s.certificate("rip.mcollective")}, "", "choria=rip.mcollective"},
		"administrator's certificate": {[]nats.Option{s.certificate("root.example.net")}, "", "root.example.net"},
		"wrong CA":                    {[]nats.Option{nats.Secure(wrongCA)}, "untrusted", ""},
		"certificate for servers":     {[]nats.Option{nats.Secure(s.ca.Client(serversOnly, "web1"))}, "untrusted", ""},
		"certificate expired":         {[]nats.Option{nats.Secure(s.ca.Client(past, "web1"))}, "expired", ""},
		"certificate of a wildcard":   {[]nats.Option{s.certificate("web.>")}, "bad-sender", ""},
		"nothing":                     {[]nats.Option{s.anonymous()}, "no-credentials", ""},
		"a user name":                 {[]nats.Option{s.anonymous(), nats.UserInfo("web1", "x")}, "no-credentials", ""},

		"node's token":               {with(good), "", "web1.example.net"},
		"client's token":             {with(s.client("choria=rip", "fleet_management")), "", "choria=rip"},
		"client's token, as a node":  {append(with(s.client("choria=rip")), nats.Name("web1.example.net")), "", "choria=rip"},
		"token and certificate":      {append(good.options(), s.certificate("web2")), "", "web1.example.net"},
		"nonce not signed":           {unsigned, "wrong-signature", ""},
		"nonce signed by another":    {with(otherKey), "wrong-signature", ""},
		"token of a stranger":        {with(issue(t, choria.ServerClaims("web1", []string{"choria"}, nil), strangerKey, time.Now())), "untrusted", ""},
		"token of a stranger, and a": {append(issue(t, choria.ServerClaims("web1", []string{"choria"}, nil), strangerKey, time.Now()).options(), s.certificate("web1")), "untrusted", ""},
		"token expired":              {with(issue(t, choria.ServerClaims("web1", []string{"choria"}, nil), s.issuer, time.Now().Add(-2*time.Hour))), "expired", ""},
		"token for later":            {with(issue(t, choria.ServerClaims("web1", []string{"choria"}, nil), s.issuer, time.Now().Add(time.Hour))), "expired", ""},
		"token of a wildcard":        {with(s.node("*")), "bad-sender", ""},
		"node named like a client":   {with(s.node("choria=rip")), "bad-sender", ""},
		"token with a line feed":     {with(holder{good.token[:9] + "\n" + good.token[9:], good.key}), "untrusted", ""},
		"certificate without a name": {[]nats.Option{nats.Secure(s.ca.Client(func(c *x509.Certificate) { c.Subject.CommonName = "" }, "dns.example.net"))}, "", "dns.example.net"},
		"no token at all":            {[]nats.Option{s.anonymous(), nats.Token("x")}, "untrusted", ""},

		"provisioner":         {[]nats.Option{s.anonymous(), nats.UserInfo("provisioner", "x")}, "provisioning", ""},
		"provisioning":        {[]nats.Option{s.anonymous(), nats.Token(provisioningToken(t))}, "provisioning", ""},
		"system":              {[]nats.Option{s.certificate("web1"), system}, "", "system"},
		"system by token":     {append(with(s.client("choria=ops", "system_user")), system), "", "system"},
		"system, its client":  {append(with(s.client("choria=rip", "fleet_management")), system), "untrusted", ""},
		"system, node":        {append(with(s.node("web1", "system_user")), system), "untrusted", ""},
		"system, no proof":    {[]nats.Option{s.anonymous(), system}, "no-credentials", ""},
		"system, guessed":     {[]nats.Option{s.certificate("web1"), nats.UserInfo("system", "guess")}, "wrong-password", ""},
		"system, nonce naked": {append(unsigned, system), "wrong-signature", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.broker.auth.refusals.snapshot()
			nc, err := s.connect(test.options...)
			if nc != nil {
				defer nc.Close()
			}
			if test.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				if user := s.user(nc); user != test.user {
					t.Errorf("it is %q, want %q", user, test.user)
				}
				return
			}
			if err == nil {
				t.Fatal("let in")
			}
			s.wantRefused(t, test.reason, before)
		})
	}
}

// user is who the server says that a connection is.
func (s *site) user(nc *nats.Conn) string {
	s.t.Helper()
	id, err := nc.GetClientID()
	if err != nil {
		s.t.Fatal(err)
	}
	page, err := s.broker.srv.Connz(&server.ConnzOptions{CID: id, Username: true})
	if err != nil || len(page.Conns) != 1 {
		s.t.Fatalf("%v: %v", page, err)
	}
	return page.Conns[0].AuthorizedUser
}

// wantRefused wants one more refusal for the reason, no other, and a line of it in the log.
func (s *site) wantRefused(t *testing.T, reason string, before map[string]uint64) {
	t.Helper()
	want := maps.Clone(before)
	want[reason]++
	deadline := time.Now().Add(10 * time.Second)
	for !maps.Equal(s.broker.auth.refusals.snapshot(), want) {
		if time.Now().After(deadline) {
			t.Fatalf("refused %v, want %v", s.broker.auth.refusals.snapshot(), want)
		}
		time.Sleep(time.Millisecond)
	}
	line := "connection refused: reason=" + reason + " address=127.0.0.1"
	for !strings.Contains(s.log.String(), line) { // it is said a moment after it is counted
		if time.Now().After(deadline) {
			t.Fatalf("the log lacks %q:\n%s", line, s.log)
		}
		time.Sleep(time.Millisecond)
	}
}

// provisioningToken is a captured one: what a node shows that has no identity yet.
func provisioningToken(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../internal/choria/testdata/creds/provisioning-v1.jwt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestACapturedConnectIsOfNoUse(t *testing.T) {
	s := openSite(t, nil)
	good := s.node("web1.example.net")
	var captured []byte
	nc, err := s.connect(s.anonymous(), nats.Token(good.token), nats.UserJWT(func() (string, error) { return good.token, nil },
		func(nonce []byte) ([]byte, error) {
			captured = ed25519.Sign(good.key, nonce)
			return captured, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	before := s.broker.auth.refusals.snapshot()
	again, err := s.connect(s.anonymous(), nats.Token(good.token), nats.UserJWT(func() (string, error) { return good.token, nil },
		func([]byte) ([]byte, error) { return captured, nil }))
	if err == nil {
		again.Close()
		t.Fatal("let in")
	}
	s.wantRefused(t, "wrong-signature", before)
}

func TestAChainedTokenOfARealChainIsLetIn(t *testing.T) {
	// Its key is not here, so the nonce cannot be signed: that far it gets, and no further.
	read := func(file string) string {
		text, err := os.ReadFile("../internal/choria/testdata/creds/" + file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	s := openSite(t, func(c *Config) {
		key, err := choria.PublicKey(read("issuer.public"))
		if err != nil {
			t.Fatal(err)
		}
		c.Issuers = choria.Issuers{"choria": key}
	})
	before := s.broker.auth.refusals.snapshot()
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	if nc, err := s.connect(append(holder{read("issuer-node4-chain.jwt"), key}.options(), s.anonymous())...); err == nil {
		nc.Close()
		t.Fatal("let in")
	}
	s.wantRefused(t, "wrong-signature", before)
	// Of another organization it does not get as far.
	other := openSite(t, nil)
	before = other.broker.auth.refusals.snapshot()
	if nc, err := other.connect(append(holder{read("issuer-node4-chain.jwt"), key}.options(), other.anonymous())...); err == nil {
		nc.Close()
		t.Fatal("let in")
	}
	other.wantRefused(t, "untrusted", before)
}

func TestRefusalsAreSaidOnceAMinuteAndCountedAlways(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	log := &syncBuffer{}
	table := rejected.New()
	r := newRefusals(hclog.New(&hclog.LoggerOptions{Output: log}), table, func() time.Time { return now })
	for range 100 {
		r.record(fmt.Errorf("%w: token: nobody knows it", choria.ErrUntrusted), "10.0.0.1", "web1")
		now = now.Add(100 * time.Millisecond)
	}
	r.record(errProvisioning, "10.0.0.2", "")
	if lines := strings.Count(log.String(), "\n"); lines != 2 {
		t.Errorf("have\n%s", log)
	}
	now = now.Add(time.Minute)
	r.record(choria.ErrUntrusted, "10.0.0.3", "web3")
	for _, want := range []string{
		`reason=untrusted address=10.0.0.1 name=web1 count=1 error="token: nobody knows it"`,
		"reason=provisioning address=10.0.0.2", "provisioning is not supported",
		"reason=untrusted address=10.0.0.3 name=web3 count=100",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if counts := r.snapshot(); counts["untrusted"] != 101 || counts["provisioning"] != 1 {
		t.Errorf("have %v", counts)
	}
	cases, _ := table.Entries()
	if len(cases) != 3 || cases[2].Name != "web1" || cases[2].Count != 100 || cases[2].Detail != "token: nobody knows it" ||
		cases[1].Address != "10.0.0.2" || cases[1].Reason != "provisioning" || !strings.HasPrefix(cases[1].Detail, "provisioning is not") {
		t.Errorf("the table has %+v", cases)
	}
}

func TestClientsComeFromTheirHostsAndNodesWhereTheyMay(t *testing.T) {
	elsewhere := openSite(t, func(c *Config) { c.ClientHosts = prefixes("192.0.2.0/24", "192.0.3.1/32") })
	for name, options := range map[string][]nats.Option{
		"certificate":   {elsewhere.certificate("rip.mcollective")},
		"administrator": {elsewhere.certificate("root.example.net")},
		"token":         append(elsewhere.client("choria=rip", "org_admin").options(), elsewhere.anonymous()),
	} {
		before := elsewhere.broker.auth.refusals.snapshot()
		if nc, err := elsewhere.connect(options...); err == nil {
			nc.Close()
			t.Errorf("%s: let in", name)
			continue
		}
		elsewhere.wantRefused(t, "wrong-host", before)
	}
	nc, err := elsewhere.connect(elsewhere.certificate("web1"))
	if err != nil {
		t.Fatalf("a node: %v", err)
	}
	nc.Close()

	here := openSite(t, func(c *Config) { c.ClientHosts, c.DenyServers = prefixes("127.0.0.0/8"), true })
	nc, err = here.connect(here.certificate("rip.mcollective"))
	if err != nil {
		t.Fatalf("a client on one of the hosts: %v", err)
	}
	nc.Close()
	for _, options := range [][]nats.Option{{here.certificate("web1")}, append(here.node("web1").options(), here.anonymous())} {
		before := here.broker.auth.refusals.snapshot()
		if nc, err := here.connect(options...); err == nil {
			nc.Close()
			t.Error("a node was let in")
			continue
		}
		here.wantRefused(t, "servers-denied", before)
	}
}

func TestASignerStandsInForAnOrganization(t *testing.T) {
	public, signer, _ := ed25519.GenerateKey(rand.Reader)
	s := openSite(t, func(c *Config) {
		c.Issuers = nil
		c.Signers.Server = []SignerKey{{Key: public}}
		c.TLS.CA = "" // all have tokens
	})
	claims := choria.ServerClaims("web1.example.net", []string{"choria"}, nil)
	nc, err := s.connect(append(issue(t, claims, signer, time.Now()).options(), s.anonymous())...)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	before := s.broker.auth.refusals.snapshot()
	if nc, err := s.connect(append(s.client("choria=rip").options(), s.anonymous())...); err == nil {
		nc.Close()
		t.Fatal("a client was let in, and nobody signs for clients")
	}
	s.wantRefused(t, "untrusted", before)
	before = s.broker.auth.refusals.snapshot()
	if nc, err := s.connect(s.certificate("web1")); err == nil { // which is not asked for
		nc.Close()
		t.Fatal("let in with a certificate, and there is no CA")
	}
	s.wantRefused(t, "no-credentials", before)
}

func TestTokensCountWithoutTLSToo(t *testing.T) {
	s := openSite(t, func(c *Config) { c.TLS = tlsfile.Files{} })
	plain := func(options ...nats.Option) error {
		nc, err := nats.Connect("nats://"+s.broker.Address(), append(options, nats.NoReconnect())...)
		if nc != nil {
			nc.Close()
		}
		return err
	}
	if err := plain(s.node("web1").options()...); err != nil {
		t.Error(err)
	}
	if plain() == nil || plain(nats.Token("x")) == nil {
		t.Error("let in without a token")
	}
	before := s.broker.auth.refusals.snapshot()
	if plain(nats.UserInfo("system", "secret")) == nil {
		t.Error("a password is taken that everybody could read on the way")
	}
	s.wantRefused(t, "no-tls", before)
}

func TestOtherRolesCountForWhoConnectsNext(t *testing.T) {
	s := openSite(t, nil)
	before := s.peer(s.certificate("web1"))
	s.broker.Reload(Roles{Admin: []string{"web1"}})
	before.mustNotPublish("who was there before", "anything")
	s.peer(s.certificate("web1")).mustPublish("who is an administrator now", "anything")
}
