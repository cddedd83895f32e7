package broker

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// provisioningPassword is that of the provisioner of a site.
const provisioningPassword = "open sesame"

// inboxOfProvisioner is the prefix of the inboxes of the provisioner choria=prov.
var inboxOfProvisioner = strings.TrimSuffix(hashedInbox("provisioning", "choria=prov")[0], ".>")

// openProvisioning runs a site at which nodes are provisioned, and a second subscriber in the account of the
// provisioner, which may do everything. edit may be nil.
func openProvisioning(t *testing.T, edit func(*Config)) (s *site, witness *nats.Conn) {
	t.Helper()
	const secret = "witness"
	s = openSite(t, func(c *Config) {
		c.Provisioning.ClientPassword = provisioningPassword
		if edit != nil {
			edit(c)
		}
	})
	s.broker.auth.intakeSecrets[ProvisioningAccount] = secret
	witness, err := s.broker.connect("witness", secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(witness.Close)
	return s, witness
}

// provisioningToken returns a provisioning token that an issuer has signed, valid for an hour from then.
func provisioningToken(t *testing.T, issuer ed25519.PrivateKey, from time.Time) string {
	t.Helper()
	claims := choria.Claims{Purpose: choria.PurposeProvisioning, OrgUnit: "choria"}
	token, err := choria.IssueToken(claims, issuer, from, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// unprovisioned returns the options of a node in provisioning that calls itself by that name.
func (s *site) unprovisioned(name string) []nats.Option {
	token := provisioningToken(s.t, s.issuer, time.Now())
	return []nats.Option{s.anonymous(), nats.Token(token), nats.Name(name)}
}

// provisioner returns the options of the provisioner.
func (s *site) provisioner() []nats.Option {
	user := nats.UserInfo(provisioner, provisioningPassword)
	return s.withToken(s.client("choria=prov", "provisioner"), user, nats.CustomInboxPrefix(inboxOfProvisioner))
}

// TestProvisioning_AdmitsOrRefuses tries each of these credentials over each listener for clients.
func TestProvisioning_AdmitsOrRefuses(t *testing.T) {
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	s, _ := openProvisioning(t, func(c *Config) { withListeners(c, nil) })
	if nc, err := s.connect(s.withToken(s.node("online.example.net"))...); err != nil {
		t.Fatal(err)
	} else {
		t.Cleanup(nc.Close)
	}
	list := func(options ...nats.Option) []nats.Option { return options }
	of := func(token string) []nats.Option { return list(s.anonymous(), nats.Token(token), nats.Name("new1")) }
	right, wrong := nats.UserInfo(provisioner, provisioningPassword), nats.UserInfo(provisioner, "guess")
	allowed := s.client("choria=prov", "provisioner")
	unsigned := list(s.anonymous(), nats.Token(allowed.token), right,
		nats.UserJWT(func() (string, error) { return allowed.token, nil }, func([]byte) ([]byte, error) { return nil, nil }))
	token := provisioningToken(t, s.issuer, time.Now())
	for name, test := range map[string]struct {
		options      []nats.Option
		reason, user string // reason: empty if it is admitted
		role         Role
	}{
		"node":               {of(token), "", ProvisioningUser, RoleProvisioning},
		"file's line feed":   {of(token + "\n"), "", ProvisioningUser, RoleProvisioning},
		"and a certificate":  {append(of(token), s.certificate("new1")), "", ProvisioningUser, RoleProvisioning},
		"and a user":         {append(of(token), nats.UserInfo("web1", "x")), "", ProvisioningUser, RoleProvisioning},
		"wildcard":           {append(of(token), nats.Name("*")), "bad-sender", "", 0},
		"all":                {append(of(token), nats.Name(">")), "bad-sender", "", 0},
		"no name":            {append(of(token), nats.Name("")), "bad-sender", "", 0},
		"a client's name":    {append(of(token), nats.Name("choria=rip")), "bad-sender", "", 0},
		"a name in use":      {append(of(token), nats.Name("online.example.net")), "name-in-use", "", 0},
		"stranger's token":   {of(provisioningToken(t, stranger, time.Now())), "untrusted", "", 0},
		"expired token":      {of(provisioningToken(t, s.issuer, time.Now().Add(-2*time.Hour))), "expired", "", 0},
		"token of tomorrow":  {of(provisioningToken(t, s.issuer, time.Now().Add(time.Hour))), "expired", "", 0},
		"RSA without signer": {of(capturedToken(t, "provisioning-v1.jwt")), "untrusted", "", 0},
		"altered token":      {of(token[:len(token)-8] + "AAAAAAAA"), "untrusted", "", 0},
		"as system user":     {append(of(token), nats.UserInfo("system", "secret")), "", ProvisioningUser, RoleProvisioning},

		"provisioner":            {s.provisioner(), "", "choria=prov", RoleProvisioner},
		"wrong password":         {s.withToken(allowed, wrong), "wrong-password", "", 0},
		"no password":            {s.withToken(allowed, nats.UserInfo(provisioner, "")), "wrong-password", "", 0},
		"no token":               {list(s.anonymous(), right), "no-credentials", "", 0},
		"certificate, no token":  {list(s.certificate("prov"), right), "no-credentials", "", 0},
		"nonce not signed":       {unsigned, "wrong-signature", "", 0},
		"another client":         {s.withToken(s.client("choria=rip", "fleet_management"), right), "untrusted", "", 0},
		"a node's token":         {s.withToken(s.node("web1", "provisioner"), right), "untrusted", "", 0},
		"its provisioning token": {append(of(token), right), "untrusted", "", 0},
	} {
		for over, url := range map[string]string{"nats": "tls://" + s.broker.Address(), "websocket": s.websocketURL()} {
			t.Run(over+"/"+name, func(t *testing.T) {
				if test.reason != "" {
					s.mustRefuseOver(t, dialers[over], test.reason, test.options...)
					return
				}
				nc, err := s.connectTo(url, test.options...)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				id, _ := nc.GetClientID()
				if user, role := s.user(t, nc), s.broker.RoleOf(id); user != test.user || role != test.role {
					t.Errorf("admitted as %q, %s; want %q, %s", user, role, test.user, test.role)
				}
			})
		}
	}
	for name, options := range map[string][]nats.Option{"node": of(token), "provisioner": s.provisioner()} {
		t.Run("leafnodes/"+name, func(t *testing.T) {
			if leaf, err := dialAsLeaf(s, options...); err == nil {
				leaf.close()
				t.Error("admitted")
			}
		})
	}
}

// TestProvisioning_BehindAProxy connects through a proxy that ends TLS: nodes may, and the provisioner, whose password
// would cross the network from there, may not.
func TestProvisioning_BehindAProxy(t *testing.T) {
	s, url := openBehindProxy(t, func(c *Config) { c.Provisioning.ClientPassword = provisioningPassword })
	nc, err := s.connectTo(url, s.unprovisioned("new1")...)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	through := func(s *site, options ...nats.Option) (*dialed, error) { return dialNATS(s, url, options) }
	s.mustRefuseOver(t, through, "no-tls", s.provisioner()...)
}

// TestProvisioning_AdmitsBesideOtherTrust has the other ways to configure provisioning.
func TestProvisioning_AdmitsBesideOtherTrust(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	old := choria.Claims{OrgUnit: "choria"} // without purpose
	old.Subject = choria.PurposeProvisioning
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, old).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	node := func(s *site, token string) []nats.Option {
		return []nats.Option{s.anonymous(), nats.Token(token), nats.Name("new1")}
	}
	user := nats.UserInfo(provisioner, provisioningPassword)
	signer := func(c *Config) { c.Provisioning.SignerCert = []SignerKey{{Key: key.Public()}} }
	noIssuers := func(c *Config) { signer(c); c.Issuers = nil }
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	both := func(c *Config) { c.Provisioning.SignerCert = []SignerKey{{Key: key.Public()}, {Key: public}} }
	for name, test := range map[string]struct {
		edit    func(*Config)
		options func(s *site) []nats.Option
		reason  string
	}{
		"ed25519 signer": {both, func(s *site) []nats.Option {
			return node(s, provisioningToken(t, private, time.Now()))
		}, ""},
		"signer":               {signer, func(s *site) []nats.Option { return node(s, signed) }, ""},
		"signer, no issuers":   {noIssuers, func(s *site) []nats.Option { return node(s, signed) }, ""},
		"issuer beside signer": {signer, func(s *site) []nats.Option { return s.unprovisioned("new1") }, ""},
		"issuer is unknown":    {noIssuers, func(s *site) []nats.Option { return s.unprovisioned("new1") }, "untrusted"},
		"certificate": {noIssuers, func(s *site) []nats.Option {
			return []nats.Option{s.certificate("prov.example.net"), user}
		}, ""},
		"no certificate": {noIssuers, func(s *site) []nats.Option {
			return []nats.Option{s.anonymous(), user}
		}, "no-credentials"},
		"password alone": {func(c *Config) { c.Provisioning.ProvisionerWithoutToken = true },
			func(s *site) []nats.Option { return []nats.Option{s.anonymous(), user} }, ""},
		"servers denied": {func(c *Config) { c.DenyServers = true },
			func(s *site) []nats.Option { return s.unprovisioned("new1") }, "servers-denied"},
		"wrong host": {func(c *Config) { c.ClientHosts = prefixes("10.0.0.0/8") },
			func(s *site) []nats.Option { return s.provisioner() }, "wrong-host"},
		"nodes from any host": {func(c *Config) { c.ClientHosts = prefixes("10.0.0.0/8") },
			func(s *site) []nats.Option { return s.unprovisioned("new1") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := openProvisioning(t, test.edit)
			if test.reason != "" {
				s.mustRefuse(t, test.reason, test.options(s)...)
				return
			}
			nc, err := s.connect(test.options(s)...)
			if err != nil {
				t.Fatal(err)
			}
			nc.Close()
		})
	}
}

// TestProvisioning_Permissions tries what nodes in provisioning and the provisioner may do, and much else. A second
// subscriber in their account sees what was published.
func TestProvisioning_Permissions(t *testing.T) {
	s, witness := openProvisioning(t, nil)
	connect := func(options ...nats.Option) *peer {
		p := s.peer(t, options...)
		p.internalConn = witness
		return p
	}
	node, prov := connect(s.unprovisioned("new1.example.net")...), connect(s.provisioner()...)
	publish := map[*peer][]string{node: {
		"choria.lifecycle.event.startup.provision_mode_server", "choria.lifecycle.event.alive.provision_mode_server",
		"choria.lifecycle.event.shutdown.provision_mode_server", "choria.lifecycle.event.upgraded.provision_mode_server",
		"choria.lifecycle.event.provisioned.provision_mode_server", "provisioning.registration.data",
		inboxOfProvisioner + ".1", "provisioning.reply.x.1",
	}, prov: {
		"provisioning.broadcast.agent.discovery", "provisioning.broadcast.agent.rpcutil",
		"provisioning.broadcast.agent.choria_util", "provisioning.broadcast.agent.choria_provision",
		"provisioning.node.new1.example.net", "choria.lifecycle.event.startup.provisioner",
	}}
	subscribe := map[*peer][]string{node: {
		"provisioning.broadcast.agent.discovery", "provisioning.broadcast.agent.rpcutil",
		"provisioning.broadcast.agent.choria_util", "provisioning.broadcast.agent.choria_provision",
		"provisioning.node.new1.example.net",
	}, prov: {inboxOfProvisioner + ".1", "choria.lifecycle.event.startup.provision_mode_server"}}
	others := []string{
		"choria.lifecycle.event.startup.server", "choria.lifecycle.event.shutdown.server",
		"choria.lifecycle.event.governor.x",
		"choria.machine.transition", "provisioning.broadcast.agent.registration", "provisioning.broadcast.agent.shell",
		"provisioning.broadcast.service.x", "provisioning.node.new2.example.net", "provisioning.submission.in.x",
		"provisioning.governor.g", "choria.broadcast.agent.discovery", "choria.broadcast.agent.registration",
		"choria.node.web1", "choria.registration.data", "choria.reply.x", "_INBOX.x", "muster.x", "choria.sites.ams.x",
		"$SYS.REQ.USER.INFO", "$JS.API.INFO", "$MUSTER.API.x", "$KV.CHORIA_LEADER_ELECTION.other", "$KV.CONFIG.color",
		"choria.streams.STREAM.INFO.KV_CONFIG", "choria.streams.STREAM.NAMES", "choria.federation.x.collective",
	}
	all := slices.Concat(publish[node], publish[prov], subscribe[prov], others)
	for name, p := range map[string]*peer{"node": node, "provisioner": prov} {
		t.Run(name, func(t *testing.T) {
			for _, subject := range all {
				may := slices.Contains(publish[p], subject) || p == prov && strings.HasPrefix(subject, "provisioning.node.")
				if seen, denied := p.publishes(subject); seen != may || denied == may {
					t.Errorf("publish %s: seen %t, denied %t, want %t", subject, seen, denied, may)
				}
				if strings.HasPrefix(subject, "$") { // only the server publishes there
					continue
				}
				may = slices.Contains(subscribe[p], subject)
				if got, denied := p.reads(subject, subject); got != may || denied == may {
					t.Errorf("subscribe %s: got %t, denied %t, want %t", subject, got, denied, may)
				}
			}
			for _, wildcard := range []string{">", "provisioning.>", "provisioning.node.>", "choria.lifecycle.>"} {
				if got, denied := p.reads(wildcard, "provisioning.node.new2"); got || !denied {
					t.Errorf("subscribe %s: got %t, denied %t", wildcard, got, denied)
				}
			}
		})
	}
}

// TestProvisioning_StaysInItsAccount publishes whatever a node in provisioning and the provisioner may, and compares
// with what arrives in the account of the nodes.
func TestProvisioning_StaysInItsAccount(t *testing.T) {
	s, witness := openProvisioning(t, nil)
	createStreams(t, s)
	nodes := internalConn(t, s.broker)
	crossed, err := nodes.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	arrived, err := witness.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	for _, nc := range []*nats.Conn{nodes, witness} {
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	node, prov := s.peer(t, s.unprovisioned("new1")...), s.peer(t, s.provisioner()...)
	sent := 0
	for _, p := range []struct {
		*peer
		subjects []string
	}{{node, provisioningNode("new1").Publish.Allow}, {prov, provisionerPermissions(nil).Publish.Allow}} {
		for _, subject := range p.subjects {
			subject = strings.ReplaceAll(subject, ">", "x")
			if err := p.nc.Publish(subject, []byte("tried")); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		if err := p.nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	wait.Eventually(t, func() error {
		if n, _, _ := arrived.Pending(); n < sent-3 { // without those of the election
			return fmt.Errorf("%d of %d arrived in the account", n, sent)
		}
		return nil
	})
	if err := nodes.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := crossed.NextMsg(10 * time.Millisecond)
		if err != nil {
			return
		}
		if m.Subject != electionKey && !strings.HasPrefix(m.Subject, "$JS.") && !strings.HasPrefix(m.Subject, "_R_.") {
			t.Errorf("%s arrived in the account of the nodes", m.Subject)
		}
	}
}

// TestProvisioning_EndsWithItsToken moves the clock past the end of a provisioning token.
func TestProvisioning_EndsWithItsToken(t *testing.T) {
	var ahead atomic.Int64
	s := openSiteWith(t, func(_ *site, c *Config, o *Options) {
		c.Provisioning.ClientPassword = provisioningPassword
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	closed := make(chan struct{})
	nc, err := s.connect(append(s.unprovisioned("new1"), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ahead.Store(int64(2 * time.Hour))
	select {
	case <-closed:
	case <-time.After(wait.Limit):
		t.Fatal("the connection is open")
	}
	wait.Eventually(t, func() error {
		if n := s.broker.auth.refusals.snapshot()["expired"]; n != 1 {
			return fmt.Errorf("counted %d", n)
		}
		return nil
	})
}
