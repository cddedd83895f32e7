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
	state := c.files.Current()
	config := &tls.Config{
		MinVersion:             tls.VersionTLS12,
		Certificates:           state.Certificates,
		SessionTicketsDisabled: true, // Choria's connections do not resume sessions
	}
	if state.Roots != nil {
		// The certificate is verified here and not by crypto/tls, which spends any time on it.
		config.ClientCAs, config.ClientAuth = state.Roots, tls.RequestClientCert
		config.VerifyConnection = c.verify
	}
	c.config.Store(config)
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

// serverConfig returns the configuration for the server, which keeps it for its lifetime:
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
