package console

import (
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

// Config is the [console] table.
type Config struct {
	Listen string // host:port
	Token  string // bearer token that every request must carry; empty: none is required
	TLS    tlsfile.Pair
}

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
			"health and monitoring; an address other than loopback requires a token and TLS"},
		{Name: "token", Value: config.Secret(&c.Token), Help: "bearer token that every request must carry, or file:PATH; " +
			"empty: none is required"},
		{Name: "tls", Value: config.SubTable(&c.TLS), Help: "HTTPS"},
	}
}

// Validate requires a token and TLS of a console that listens beyond loopback.
func (c *Config) Validate(check *config.Check) {
	if c.Token != "" && len(c.Token) < minToken {
		check.Problem("token", "has %d characters, and a token shorter than %d can be guessed", len(c.Token), minToken)
	}
	check.Listen("listen", c.Listen, config.ListenRule{
		Example:     DefaultConfig().Listen,
		MayBePublic: c.Token != "" && c.TLS.Enabled(),
		Hint:        "; give a token and certificates in [console.tls], or listen on 127.0.0.1",
	})
}
