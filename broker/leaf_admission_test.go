package broker

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// wantAdmitted waits until the leaf node is admitted.
func (l *hostileLeaf) wantAdmitted() {
	l.t.Helper()
	l.flush()
	if l.ended() || !l.admitted() {
		l.t.Fatalf("refused: %q", l.seen(""))
	}
}

// wantEnded waits until the server has ended the connection.
func (l *hostileLeaf) wantEnded() {
	l.t.Helper()
	wait.Eventually(l.t, func() error {
		if !l.ended() {
			return fmt.Errorf("not ended; the lines are %q", l.seen(""))
		}
		return nil
	})
}

func TestLeafnodes_AdmitsPeers(t *testing.T) {
	t.Parallel()
	s := openSite(t, func(c *Config) {
		acceptLeafnode(c, CrossNodes)
		c.Leafnodes.Peers["choria=hub"] = CrossClients
		c.ClientHosts = prefixes("192.0.2.0/24") // of clients of this site only
		c.DenyServers = true
	})
	for name, options := range map[string][]nats.Option{
		"certificate":    {s.certificate(leafName)},
		"node's token":   s.withToken(s.node(leafName)),
		"client's token": s.withToken(s.client("choria=hub")),
	} {
		t.Run(name, func(t *testing.T) {
			l := s.dialLeaf(nil, options...)
			l.wantAdmitted()
			if n := s.broker.auth.connectionRoles.count(s.broker.auth.isOpen)[RoleLeafnode]; n != 1 {
				t.Errorf("%d leaf nodes", n)
			}
			_ = l.conn.Close()
			wait.Eventually(t, func() error {
				if n := s.broker.auth.connectionRoles.count(s.broker.auth.isOpen)[RoleLeafnode]; n != 0 {
					return fmt.Errorf("%d leaf nodes", n)
				}
				return nil
			})
		})
	}
}

// TestLeafnodes_Refusals tries what leaf nodes alone may present, or not present; TestListeners_AdmitOrRefuse has the
// rest.
func TestLeafnodes_Refusals(t *testing.T) {
	t.Parallel()
	s := openAccepting(t, CrossNodes)
	for name, c := range map[string]struct {
		reason  string
		options []nats.Option
	}{
		"the admin token":            {"untrusted", []nats.Option{s.anonymous(), nats.Token(s.broker.AdminToken())}},
		"a name that is not listed":  {"unknown-leafnode", []nats.Option{s.certificate("web1.example.net")}},
		"a token that is not listed": {"unknown-leafnode", s.withToken(s.node("web1.example.net"))},
		"an administrator":           {"unknown-leafnode", s.withToken(s.client("choria=root", "org_admin"))},
		"the system user": {"unknown-leafnode",
			[]nats.Option{s.certificate("root.example.net"), nats.UserInfo("system", "secret")}},
		"the provisioner": {"no-credentials", []nats.Option{s.anonymous(), nats.UserInfo("provisioner", "x")}},
	} {
		t.Run(name, func(t *testing.T) { s.mustRefuseOver(t, dialAsLeaf, c.reason, c.options...) })
	}
	s.broker.RefuseNew()
	s.mustRefuseOver(t, dialAsLeaf, "stopping", s.certificate(leafName))
}

// TestLeafnodes_NewConnectionReplacesTheOld requires that a leaf node has one connection: with two, everything would
// cross twice.
func TestLeafnodes_NewConnectionReplacesTheOld(t *testing.T) {
	t.Parallel()
	s := openAccepting(t, CrossNodes)
	old := s.dialLeaf(map[string]any{"name": "first"}, s.certificate(leafName))
	old.wantAdmitted()
	s.dialLeaf(map[string]any{"name": "second"}, s.certificate(leafName)).wantAdmitted()
	old.wantEnded()
}

// TestLeafnodes_NewConnectionReplacesOneThatIsNotListed admits two connections of a leaf node before the server lists
// either, so that neither can be ended at once.
func TestLeafnodes_NewConnectionReplacesOneThatIsNotListed(t *testing.T) {
	t.Parallel()
	s := openAccepting(t, CrossNodes)
	const connections = 3
	var admitted sync.WaitGroup
	admitted.Add(connections)
	s.beforeListed(func() {
		admitted.Done()
		admitted.Wait()
	})
	for range connections {
		s.dialLeaf(nil, s.certificate(leafName))
	}
	admitted.Wait()
	wait.Eventually(t, func() error {
		n, text := s.broker.srv.NumLeafNodes(), "leaf node connected again, its other connection was ended: name="+leafName
		if n != 1 || !strings.Contains(s.log.String(), text) {
			return fmt.Errorf("%d connections; the log is\n%s", n, s.log)
		}
		return nil
	})
	time.Sleep(2 * settleInterval)
	if n := s.broker.srv.NumLeafNodes(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestLeafnodes_RevokedBeforeTheyAreListed revokes the certificate of a leaf node, or lets its token expire, after it
// was admitted and before the server lists it, so that it cannot be ended at once.
func TestLeafnodes_RevokedBeforeTheyAreListed(t *testing.T) {
	t.Parallel()
	r := openRevoking(t)
	certificate, text := r.pair(t, r.site.ca, nil, leafName)
	for name, c := range map[string]struct {
		revoke  func()
		reason  string
		options []nats.Option
	}{
		"certificate": {
			func() { r.reload(t, r.crl, r.site.ca.CRL(nil, text)) }, "revoked", []nats.Option{certificate},
		},
		"token": {
			func() { r.ahead.Store(int64(2 * time.Hour)); r.broker.Reload(r.broker.cfg.Roles) }, "expired",
			r.withToken(r.node(leafName)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			var once sync.Once
			r.beforeListed(func() { once.Do(c.revoke) })
			before := r.broker.auth.refusals.snapshot()[c.reason]
			r.dialLeaf(nil, c.options...).wantEnded()
			wait.Eventually(t, func() error {
				if n := r.broker.auth.refusals.snapshot()[c.reason] - before; n != 1 {
					return fmt.Errorf("%d ended connections were counted", n)
				}
				return nil
			})
			r.ahead.Store(0)
		})
	}
}

// beforeListed calls f for each leaf node that is admitted, before the server lists it.
func (s *site) beforeListed(f func()) {
	lookup := s.broker.auth.lookupAccount
	s.broker.auth.lookupAccount = func(name string) (*server.Account, error) {
		if name == leafAccount("peer", leafName) {
			f()
		}
		return lookup(name)
	}
}
