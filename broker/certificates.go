package broker

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

const certificateInterval = 3 * time.Second

// certificates are the TLS files of the listener. When they change, they are
// loaded again by Muster, not by the server's own reload, which would disconnect every node. A
// handshake uses the current files; established connections keep those of their handshake.
type certificates struct {
	files      *tlsfile.Reloader
	trustRoots func(*x509.CertPool) // receives the CA, nil without one
	now        func() time.Time
	config     atomic.Pointer[tls.Config]
}

// openCertificates loads the files for the first time.
func openCertificates(
	files tlsfile.Files, trustRoots func(*x509.CertPool), now func() time.Time, log hclog.Logger,
) (*certificates, error) {
	reloader, err := tlsfile.NewReloader(files, files.LoadServer, now(), log)
	if err != nil {
		return nil, err
	}
	c := &certificates{files: reloader, trustRoots: trustRoots, now: now}
	c.apply()
	return c, nil
}

// refresh loads the files if they have changed. If they cannot be used, the previous ones
// stay in use.
func (c *certificates) refresh(now time.Time) {
	if c.files.Refresh(now) {
		c.apply()
	}
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
		config.VerifyConnection = c.verifyWith(state.Roots)
	}
	c.config.Store(config)
	c.trustRoots(state.Roots)
}

// verifyWith returns a function that ends a handshake unless the client's certificate, if it has
// sent one, is under the roots. It is called before the client has proved to hold the key.
func (c *certificates) verifyWith(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		_, err := choria.VerifyCertificates(state.PeerCertificates, roots, c.now())
		return err
	}
}

// serverConfig returns the configuration for the server, which keeps it for its lifetime:
// each handshake uses the files that are current then.
func (c *certificates) serverConfig() *tls.Config {
	config := c.config.Load().Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.config.Load(), nil }
	return config
}

// expires returns when the broker's certificate expires; the zero time if it has none.
func (c *certificates) expires() time.Time { return c.files.Current().Expires() }

// Reload applies the roles to the connections that are made from now on, and loads the TLS
// files if they have changed.
func (b *Broker) Reload(roles Roles) {
	b.auth.roles.Store(&roles)
	if b.certs != nil {
		b.certs.refresh(b.opts.Now())
	}
}

func (b *Broker) watchCertificates() {
	ticker := time.NewTicker(certificateInterval)
	defer ticker.Stop()
	for {
		b.certs.refresh(b.opts.Now())
		select {
		case <-b.quit:
			return
		case <-ticker.C:
		}
	}
}
