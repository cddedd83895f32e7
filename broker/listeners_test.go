package broker

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// dialed is a connection that was admitted over some listener.
type dialed struct {
	user  func(*testing.T) string // what it is admitted as
	ended func() bool             // whether the broker has ended it
	close func()
}

// dialer connects to one of the listeners of a site. It presents what the options say.
type dialer func(s *site, options ...nats.Option) (*dialed, error)

// dialers has a way to connect for each listener, and for what may connect there, by the name of its table.
var dialers = map[string]dialer{
	"nats": func(s *site, options ...nats.Option) (*dialed, error) {
		return dialNATS(s, "tls://"+s.broker.Address(), options)
	},
	"websocket": func(s *site, options ...nats.Option) (*dialed, error) {
		return dialNATS(s, s.websocketURL(), options)
	},
	"leafnodes":                dialAsLeaf,
	"leafnodes over WebSocket": dialAsLeafOverWebSocket,
}

// ofLeafnodes reports whether a dialer connects as a leaf node.
func ofLeafnodes(over string) bool { return strings.HasPrefix(over, "leafnodes") }

// dialNATS connects as a client of NATS.
func dialNATS(s *site, url string, options []nats.Option) (*dialed, error) {
	nc, err := s.connectTo(url, options...)
	if err != nil {
		return nil, err
	}
	return &dialed{user: func(t *testing.T) string { return s.user(t, nc) }, ended: nc.IsClosed, close: nc.Close}, nil
}

// openListeners runs a site with all listeners.
func openListeners(t *testing.T, edit func(*Config)) *site {
	t.Helper()
	return openSite(t, func(c *Config) { withListeners(c, edit) })
}

// withListeners configures all listeners; edit, if it is not nil, changes the configuration then.
func withListeners(c *Config, edit func(*Config)) {
	c.WebSocket.Listen = "127.0.0.1:0"
	c.Leafnodes.Listen, c.Leafnodes.Peers = "127.0.0.1:0", leafPeers()
	if edit != nil {
		edit(c)
	}
}

// mustDial connects, and closes the connection when the test ends.
func mustDial(t *testing.T, s *site, dial dialer, options ...nats.Option) *dialed {
	t.Helper()
	p, err := dial(s, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// mustRefuseOver does what mustRefuse does, over the listener of the dialer.
func (s *site) mustRefuseOver(t *testing.T, dial dialer, reason string, options ...nats.Option) {
	t.Helper()
	want := s.broker.auth.refusals.snapshot()
	want[reason]++
	if p, err := dial(s, options...); err == nil {
		p.close()
		t.Fatal("admitted")
	}
	s.wantRefused(t, want, reason)
}

// TestListeners_AdmitOrRefuse tries each of these credentials over each listener.
func TestListeners_AdmitOrRefuse(t *testing.T) {
	s := openListeners(t, nil)
	stranger := authority.New(t, time.Now())
	_, strangerKey, _ := ed25519.GenerateKey(rand.Reader)
	past := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, -2, 0), time.Now().AddDate(0, -1, 0)
	}
	wrongCA := stranger.Client(nil, "web1")
	wrongCA.RootCAs = s.ca.Pool()
	serversOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	good := s.node("web1.example.net")
	unsigned := []nats.Option{s.anonymous(), nats.Token(good.token)}
	otherKey := holder{good.token, strangerKey}
	web1 := choria.ServerClaims("web1", []string{"choria"}, nil)
	foreign := issue(t, web1, strangerKey, time.Now())
	past2h, in1h := time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour)
	lineFeed := holder{good.token[:9] + "\n" + good.token[9:], good.key}
	nameless := func(c *x509.Certificate) { c.Subject.CommonName = "" }
	system := nats.UserInfo("system", "secret")
	list := func(options ...nats.Option) []nats.Option { return options }

	for name, test := range map[string]struct {
		options []nats.Option
		reason  string // empty: admitted
		user    string // as which it is admitted
	}{
		"certificate":                 {list(s.certificate("web1")), "", "web1"},
		"client's certificate":        {list(s.certificate("rip.mcollective")), "", "choria=rip.mcollective"},
		"administrator's certificate": {list(s.certificate("root.example.net")), "", "root.example.net"},
		"certificate with DNS name":   {list(nats.Secure(s.ca.Client(nameless, "dns.example.net"))), "", "dns.example.net"},
		"certificate of another CA":   {list(nats.Secure(wrongCA)), "untrusted", ""},
		"certificate for servers":     {list(nats.Secure(s.ca.Client(serversOnly, "web1"))), "untrusted", ""},
		"certificate expired":         {list(nats.Secure(s.ca.Client(past, "web1"))), "expired", ""},
		"certificate of a wildcard":   {list(s.certificate("web.>")), "bad-sender", ""},
		"no credentials":              {list(s.anonymous()), "no-credentials", ""},
		"user name alone":             {list(s.anonymous(), nats.UserInfo("web1", "x")), "no-credentials", ""},

		"node's token":              {s.withToken(good), "", "web1.example.net"},
		"client's token":            {s.withToken(s.client("choria=rip", "fleet_management")), "", "choria=rip"},
		"client's token, node name": {s.withToken(s.client("choria=rip"), nats.Name("web1.example.net")), "", "choria=rip"},
		"token and certificate":     {append(good.options(), s.certificate("web2")), "", "web1.example.net"},
		"nonce not signed":          {unsigned, "wrong-signature", ""},
		"nonce signed by another":   {s.withToken(otherKey), "wrong-signature", ""},
		"token of a stranger":       {s.withToken(foreign), "untrusted", ""},
		"token of a stranger and certificate": {
			append(foreign.options(), s.certificate("web1")), "untrusted", "",
		},
		"token expired":            {s.withToken(issue(t, web1, s.issuer, past2h)), "expired", ""},
		"token not valid yet":      {s.withToken(issue(t, web1, s.issuer, in1h)), "expired", ""},
		"token of a wildcard":      {s.withToken(s.node("*")), "bad-sender", ""},
		"node named like a client": {s.withToken(s.node("choria=rip")), "bad-sender", ""},
		"token with a line feed":   {s.withToken(lineFeed), "untrusted", ""},
		"not a token":              {list(s.anonymous(), nats.Token("x")), "untrusted", ""},

		"nkey and certificate": {list(s.certificate("web1"), userNkey("web2")), "untrusted", ""},
		"long name":            {list(s.certificate("web1"), nats.Name(strings.Repeat("x", 513))), "limit", ""},

		"provisioner":        {list(s.anonymous(), nats.UserInfo("provisioner", "x")), "provisioning", ""},
		"provisioning token": {list(s.anonymous(), nats.Token(capturedToken(t, "provisioning-v1.jwt"))), "provisioning", ""},

		"system user":                 {list(s.certificate("web1"), system), "", "system"},
		"system user with token":      {s.withToken(s.client("choria=ops", "system_user"), system), "", "system"},
		"system user, no permission":  {s.withToken(s.client("choria=rip", "fleet_management"), system), "untrusted", ""},
		"system user, node's token":   {s.withToken(s.node("web1", "system_user"), system), "untrusted", ""},
		"system user, no proof":       {list(s.anonymous(), system), "no-credentials", ""},
		"system user, wrong password": {list(s.certificate("web1"), nats.UserInfo("system", "guess")), "wrong-password", ""},
		"system user, unsigned nonce": {append(unsigned, system), "wrong-signature", ""},
	} {
		for over, dial := range dialers {
			if ofLeafnodes(over) && (strings.HasPrefix(name, "system user") || strings.HasPrefix(name, "provision")) {
				continue // these are clients; see TestLeafnodes_Refusals
			}
			t.Run(over+"/"+name, func(t *testing.T) {
				if test.reason != "" {
					s.mustRefuseOver(t, dial, test.reason, test.options...)
					return
				}
				p := mustDial(t, s, dial, test.options...)
				want := test.user
				if ofLeafnodes(over) { // by the name in their certificate, whether it is that of a client or not
					want = strings.Replace(want, "choria=rip.mcollective", "rip.mcollective", 1)
				}
				if have := p.user(t); have != want {
					t.Errorf("admitted as %q, want %q", have, want)
				}
			})
		}
	}
}

// TestListeners_EndRevokedConnections revokes a certificate and a token whose connections are open, and lets others
// expire.
func TestListeners_EndRevokedConnections(t *testing.T) {
	for over, dial := range dialers {
		t.Run(over, func(t *testing.T) {
			r := openRevoking(t)
			certificate, text := r.pair(t, r.site.ca, nil, "web1")
			token := r.withToken(r.node("web2"))
			long := func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 6, 0) }
			other, _ := r.pair(t, r.site.ca, long, "web3")
			web1, web2 := mustDial(t, r.site, dial, certificate), mustDial(t, r.site, dial, token...)
			web3 := mustDial(t, r.site, dial, other)
			web4 := mustDial(t, r.site, dial, r.withToken(r.node("web4"))...) // for an hour

			r.reload(t, r.crl, r.site.ca.CRL(nil, text))
			r.reload(t, r.tokens, "identity web2\n")
			mustEnd(t, r.site, "revoked", web1, web2)
			r.site.mustRefuseOver(t, dial, "revoked", certificate)
			r.site.mustRefuseOver(t, dial, "revoked", token...)
			r.ahead.Store(int64(2 * time.Hour))
			r.broker.Reload(r.broker.cfg.Roles)
			mustEnd(t, r.site, "expired", web4)
			if web3.ended() {
				t.Error("a connection was ended whose certificate is valid")
			}
		})
	}
}

// mustEnd waits until the broker has ended the connections, and logged one for the reason.
func mustEnd(t *testing.T, s *site, reason string, peers ...*dialed) {
	t.Helper()
	wait.Eventually(t, func() error {
		for i, p := range peers {
			if !p.ended() {
				return fmt.Errorf("connection %d is open", i)
			}
		}
		if line := "connection ended: reason=" + reason; !strings.Contains(s.log.String(), line) {
			return fmt.Errorf("the log lacks %q:\n%s", line, s.log)
		}
		return nil
	})
}

// TestListeners_UseRenewedFiles replaces the certificate of the broker and then the CA, while connections are open.
func TestListeners_UseRenewedFiles(t *testing.T) {
	for over, dial := range dialers {
		t.Run(over, func(t *testing.T) {
			s := openListeners(t, nil)
			other := authority.New(t, time.Now())
			old := mustDial(t, s, dial, s.certificate("web1"))
			certificate, key := other.Pair(nil, "broker.test")
			s.replace(t, s.broker.cfg.TLS.Cert, certificate)
			s.replace(t, s.broker.cfg.TLS.Key, key)
			s.broker.Reload(s.broker.cfg.Roles)
			s.mustRefuseOver(t, dial, "handshake", s.certificate("web1")) // its side does not know the new one
			if old.ended() {
				t.Error("the connection has ended when the certificate was renewed")
			}
			ofOther := other.Client(nil, "web2")
			s.mustRefuseOver(t, dial, "untrusted", nats.Secure(ofOther))
			s.replace(t, s.broker.cfg.TLS.CA, s.ca.PEM()+other.PEM())
			s.broker.Reload(s.broker.cfg.Roles)
			mustDial(t, s, dial, nats.Secure(ofOther))
			s.replace(t, s.broker.cfg.TLS.CA, other.PEM())
			s.broker.Reload(s.broker.cfg.Roles)
			mustEnd(t, s, "untrusted", old)
			ofOld := s.ca.Client(nil, "web1")
			ofOld.RootCAs = other.Pool()
			s.mustRefuseOver(t, dial, "untrusted", nats.Secure(ofOld))
		})
	}
}

// replace writes a file of the site.
func (s *site) replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
