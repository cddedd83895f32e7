package console

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/muster-appliance/muster/internal/config"
)

// Config is the [console] table: where people and monitoring ask.
type Config struct {
	Listen string
	Token  string // who asks must have it; empty: nobody must
	TLS    TLS
}

// TLS is the [console.tls] table.
type TLS struct {
	Cert string // path, PEM
	Key  string
}

// Enabled tells whether the console speaks HTTPS.
func (t TLS) Enabled() bool { return t.Cert != "" }

// DefaultConfig listens on loopback, where NATS's own monitoring would.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8222"} }

// URL is that of a console with this configuration which listens there.
func (c *Config) URL(address string) string {
	if c.TLS.Enabled() {
		return "https://" + address
	}
	return "http://" + address
}

// leastToken is how long a token must be: it is all that there is to guess.
const leastToken = 16

// Keys lists the keys of [console].
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "listen", Value: config.String(&c.Listen), Help: "address and port for the API, metrics, health and monitoring; beyond loopback only with a token and TLS"},
		{Name: "token", Value: config.Secret(&c.Token), Help: "who asks must show this as a bearer token, or file:PATH; none: nobody must"},
		{Name: "tls", Value: config.Sub(&c.TLS), Help: "HTTPS"},
	}
}

// Keys lists the keys of [console.tls].
func (t *TLS) Keys() []config.Key {
	return []config.Key{
		{Name: "cert", Value: config.Path(&t.Cert), Help: "path of the certificate, PEM, with what it is signed by"},
		{Name: "key", Value: config.Path(&t.Key), Help: "path of its key, PEM"},
	}
}

// Validate refuses a half.
func (t *TLS) Validate(check *config.Check) {
	switch {
	case t.Cert == "" && t.Key == "":
	case t.Cert == "" || t.Key == "":
		check.Problem("cert", "a certificate needs its key, and a key its certificate; give both")
	}
}

// Check tells whether the files can be used.
func (t *TLS) Check() error {
	if !t.Enabled() {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
		return fmt.Errorf("%s and %s: %w", t.Cert, t.Key, err)
	}
	return nil
}

// Validate keeps the console on this machine, unless who asks is known and nobody listens in.
func (c *Config) Validate(check *config.Check) {
	if c.Token != "" && len(c.Token) < leastToken {
		check.Problem("token", "it has %d characters, and less than %d can be guessed", len(c.Token), leastToken)
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
