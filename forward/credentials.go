package forward

import (
	"cmp"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/tlsfile"
	"github.com/nats-io/nats.go"
)

// hubOptions returns the options with which the hub is connected to: the way to it, the credentials, and TLS.
func (f *Forwarder) hubOptions() ([]nats.Option, error) {
	if err := f.cfg.CheckFiles(f.opts.TLS); err != nil {
		return nil, err
	}
	options := f.wayOptions()
	switch {
	case f.cfg.Token != "":
		key, err := choria.ReadSeed(f.cfg.Seed)
		if err != nil {
			return nil, err
		}
		token := strings.TrimSpace(f.cfg.Token)
		options = append(options, nats.Token(token), nats.UserJWT(
			func() (string, error) { return token, nil },
			func(nonce []byte) ([]byte, error) { return ed25519.Sign(key, nonce), nil },
		))
	case f.cfg.Credentials != "":
		options = append(options, nats.UserCredentials(f.cfg.Credentials))
	default:
		options = append(options, nats.UserInfo(cmp.Or(f.cfg.User, f.opts.Identity), f.cfg.Password))
	}
	if !f.cfg.usesTLS() {
		return options, nil
	}
	files := f.cfg.TLS.Or(f.opts.TLS)
	var certificate nats.TLSCertHandler
	if files.Enabled() {
		certificate = func() (tls.Certificate, error) { return loadCertificate(files) }
	}
	roots := func() (*x509.CertPool, error) { return loadRoots(files) }
	return append(options, nats.ClientTLSConfig(certificate, roots)), nil
}

// wayOptions returns the options of a way to the hub for which only the URLs in the configuration are valid, not the
// addresses that the hub advertises: through a proxy, which also resolves names, and to a WebSocket, which may be
// behind a balancer or have a path.
func (f *Forwarder) wayOptions() (options []nats.Option) {
	if f.cfg.Proxy != "" {
		options = append(options, nats.SkipHostLookup())
	}
	if f.cfg.Proxy != "" || slices.ContainsFunc(f.cfg.Servers, isWebSocket) {
		options = append(options, nats.IgnoreDiscoveredServers())
	}
	return options
}

// usesTLS reports whether one of the servers is reached over TLS.
func (c *Config) usesTLS() bool {
	return slices.ContainsFunc(c.Servers, func(server string) bool { return hasScheme(server, "tls", "wss") })
}

// CheckFiles returns an error if a certificate, key, CA or seed for the hub cannot be read. The files are those of the
// broker, which are used unless the configuration names others.
func (c *Config) CheckFiles(broker tlsfile.Files) error {
	if c.Token != "" {
		if _, err := choria.ReadSeed(c.Seed); err != nil {
			return err
		}
	}
	if !c.usesTLS() {
		return nil
	}
	_, err := c.TLS.Or(broker).Load()
	return err
}

// loadCertificate reads the certificate when a connection is made, so that a renewed one is used.
func loadCertificate(files tlsfile.Files) (tls.Certificate, error) {
	s, err := files.Load()
	if err != nil {
		return tls.Certificate{}, err
	}
	return s.Certificates[0], nil
}

// loadRoots reads the CA of the hub; nil: the CAs of the machine.
func loadRoots(files tlsfile.Files) (*x509.CertPool, error) {
	s, err := files.Load()
	if err != nil {
		return nil, err
	}
	return s.Roots, nil
}
