package console

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/muster-appliance/muster/internal/config"
)

// Config is the [console] table.
type Config struct {
	Listen string // host:port
	Token  string // bearer token that every request must carry; empty: none is required
	TLS    TLS
}

// TLS is the [console.tls] table.
type TLS struct {
	Cert string // path, PEM
	Key  string
}

// Enabled reports whether the console speaks HTTPS.
func (t TLS) Enabled() bool { return t.Cert != "" }

// DefaultConfig listens on loopback, on the port of NATS's own monitoring.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8222"} }

// URL returns the URL of a console with this configuration that listens on the address.
func (c *Config) URL(address string) string {
	if c.TLS.Enabled() {
		return "https://" + address
	}
	return "http://" + address
}

// minToken is how many characters a token must have. A token is all that an attacker has to
// guess.
const minToken = 16

// Keys lists the keys of [console].
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "listen", Value: config.String(&c.Listen), Help: "address and port of the API, metrics, " +
			"health and monitoring; beyond loopback a token and TLS are required"},
		{Name: "token", Value: config.Secret(&c.Token), Help: "bearer token that every request must carry, or file:PATH; " +
			"empty: none is required"},
		{Name: "tls", Value: config.Sub(&c.TLS), Help: "HTTPS"},
	}
}

// Keys lists the keys of [console.tls].
func (t *TLS) Keys() []config.Key {
	return []config.Key{
		{Name: "cert", Value: config.Path(&t.Cert), Help: "path of the certificate and its intermediates, PEM"},
		{Name: "key", Value: config.Path(&t.Key), Help: "path of the key of the certificate, PEM"},
	}
}

// Validate reports a certificate without its key, and a key without its certificate.
func (t *TLS) Validate(check *config.Check) {
	switch {
	case t.Cert == "" && t.Key == "":
	case t.Cert == "" || t.Key == "":
		check.Problem("cert", "a certificate needs its key, and a key its certificate; give both")
	}
}

// Check reads the files and returns why they cannot be used.
func (t *TLS) Check() error {
	if !t.Enabled() {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
		return fmt.Errorf("%s and %s: %w", t.Cert, t.Key, err)
	}
	return nil
}

// Validate requires a token and TLS of a console that listens beyond loopback.
func (c *Config) Validate(check *config.Check) {
	if c.Token != "" && len(c.Token) < minToken {
		check.Problem("token", "has %d characters, and a token shorter than %d can be guessed", len(c.Token), minToken)
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		check.Problem("listen", "%q is not an address and a port; write them as %q", c.Listen, DefaultConfig().Listen)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		check.Problem("listen", "%q has no port from 0 to 65535", c.Listen)
	}
	addr, err := netip.ParseAddr(host)
	if open := host != "localhost" && (err != nil || !addr.IsLoopback()); open && (c.Token == "" || !c.TLS.Enabled()) {
		check.Problem("listen", `%q is open to the network; give a token and certificates in [console.tls], or listen on 127.0.0.1`, c.Listen)
	}
}
