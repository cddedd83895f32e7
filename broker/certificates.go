package broker

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

// certificates are the TLS files of the listener. When they change, they are
// loaded again by Muster, not by the server's own reload, which would disconnect every node. A
// handshake uses the current files; established connections keep those of their handshake.
type certificates struct {
	files    *tlsfile.Reloader
	verifier *choria.Verifier // of the clients' certificates
	now      func() time.Time
	config   atomic.Pointer[tls.Config]
}

// openCertificates loads the files for the first time.
func openCertificates(
	files tlsfile.Files, verifier *choria.Verifier, now func() time.Time, log hclog.Logger,
) (*certificates, error) {
	reloader, err := tlsfile.NewReloader(files, files.LoadServer, now(), log)
	if err != nil {
		return nil, err
	}
	c := &certificates{files: reloader, verifier: verifier, now: now}
	c.apply()
	return c, nil
}

// refresh loads the files if they have changed, and reports whether they are new. If they cannot be
// used, the previous ones stay in use.
func (c *certificates) refresh(now time.Time) (changed bool) {
	if changed = c.files.Refresh(now); changed {
		c.apply()
	}
	return changed
}

func (c *certificates) apply() {
	config, state := c.common(), c.files.Current()
	config.Certificates, config.ClientCAs = state.Certificates, state.Roots
	c.config.Store(config)
}

// common returns what holds for every listener, also after the files have changed.
func (c *certificates) common() *tls.Config {
	config := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true, // Choria's connections do not resume sessions
	}
	if c.files.Current().Roots != nil {
		// The certificate is verified here and not by crypto/tls, which spends any time on it.
		config.ClientAuth, config.VerifyConnection = tls.RequestClientCert, c.verify
	}
	return config
}

// verify ends a handshake unless the client's certificate, if it has sent one, is under the CA. It is
// called before the client has proved to hold the key.
func (c *certificates) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	_, err := c.verifier.VerifyCertificates(state.PeerCertificates, c.now())
	return err
}

// serverConfig returns the configuration of a listener, which the server keeps for its lifetime:
// each handshake uses the files that are current then.
// began receives the connection of each handshake.
func (c *certificates) serverConfig(began func(net.Conn)) *tls.Config {
	config := c.config.Load().Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		began(hello.Conn)
		return c.config.Load(), nil
	}
	return config
}

// websocketConfig does what serverConfig does, for the listener of WebSocket: the server replaces its
// GetConfigForClient. ClientCAs, which are only a hint for clients, are left out because they may change.
func (c *certificates) websocketConfig(began func(net.Conn)) *tls.Config {
	config := c.common()
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		began(hello.Conn)
		return &c.config.Load().Certificates[0], nil
	}
	return config
}

// expires returns when the broker's certificate expires; the zero time if it has none.
func (c *certificates) expires() time.Time { return c.files.Current().Expires() }

// Reload applies the roles, see changeRoles, and loads the TLS files, the revocation lists and the list of
// revoked tokens if they have changed.
func (b *Broker) Reload(roles Roles) {
	b.changeRoles(roles)
	b.refreshTrust(b.opts.Now())
}

// ReloadSites applies other sites, see changeSites. If they cannot be applied, the previous ones stay in force.
func (b *Broker) ReloadSites(sites Sites) {
	if err := b.changeSites(sites); err != nil {
		b.opts.Log.Error("sites not reloaded", "error", err)
	}
}
