package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// TestProvisioning_EndsWhenItsTokenIsRevoked revokes a provisioning token by its id while nodes are connected with it:
// over NATS, over WebSocket, and through a proxy that ends TLS. Another provisioning token stays valid.
func TestProvisioning_EndsWhenItsTokenIsRevoked(t *testing.T) {
	list := filepath.Join(t.TempDir(), "revoked.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# none\n")
	edit := func(c *Config) { c.Provisioning.ClientPassword, c.RevokedTokens = provisioningPassword, list }
	direct := openListeners(t, edit)
	proxied, proxy := openBehindProxy(t, edit)
	type connection struct {
		*nats.Conn
		s       *site
		url     string
		options []nats.Option
	}
	var leaked, others []connection
	revoked := ""
	for _, at := range []struct {
		s   *site
		url string
	}{{direct, "tls://" + direct.broker.Address()}, {direct, direct.websocketURL()}, {proxied, proxy}} {
		for _, conns := range []*[]connection{&leaked, &others} {
			from := time.Now().Add(-time.Duration(len(leaked)+len(others)) * time.Minute) // else tokens could be equal
			token := provisioningToken(t, at.s.issuer, from)
			options := []nats.Option{at.s.anonymous(), nats.Token(token), nats.Name("new1")}
			nc, err := at.s.connectTo(at.url, options...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			*conns = append(*conns, connection{nc, at.s, at.url, options})
			if conns == &leaked {
				revoked += "token " + choria.TokenID(token) + "\n"
			}
		}
	}
	write(revoked)
	for s, want := range map[*site]uint64{direct: 2, proxied: 1} {
		s.broker.Reload(s.broker.cfg.Roles)
		wait.Eventually(t, func() error {
			if n := s.broker.auth.refusals.snapshot()["revoked"]; n != want {
				return fmt.Errorf("%d connections were ended, want %d", n, want)
			}
			return nil
		})
	}
	for _, c := range leaked {
		wait.Eventually(t, func() error {
			if !c.IsClosed() {
				return errors.New(c.url + ": the connection is open")
			}
			return nil
		})
		over := func(s *site, options ...nats.Option) (*dialed, error) { return dialNATS(s, c.url, options) }
		c.s.mustRefuseOver(t, over, "revoked", c.options...)
	}
	for _, c := range others {
		if err := c.Flush(); err != nil {
			t.Errorf("%s: a connection with another token was ended: %v", c.url, err)
		}
	}
}
