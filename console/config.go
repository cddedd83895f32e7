package console

import (
	"net/netip"
	"regexp"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/tlsfile"
)

// Config is the [console] table.
type Config struct {
	Listen string   // host:port
	Token  string   // bearer token that every request must carry; empty: none is required
	Hosts  []string // names and addresses that requests may be for, beside those of this machine
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

// validHost matches a host name.
var validHost = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

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
		{Name: "hosts", Value: config.Strings(&c.Hosts), Help: "further names and addresses by which the console " +
			"is reached, for example through a reverse proxy; requests for other hosts are refused"},
		{Name: "tls", Value: config.SubTable(&c.TLS), Help: "HTTPS"},
	}
}

// Validate requires a token and TLS of a console that listens beyond loopback.
func (c *Config) Validate(check *config.Check) {
	if c.Token != "" && len(c.Token) < minToken {
		check.Problem("token", "has %d characters, and a token shorter than %d can be guessed", len(c.Token), minToken)
	}
	for _, host := range c.Hosts {
		if _, err := netip.ParseAddr(host); err != nil && !validHost.MatchString(host) {
			check.Problem("hosts", "%q is not a host name or an IP address; write it without scheme, port and path", host)
		}
	}
	check.Listen("listen", c.Listen, config.ListenRule{
		Example:     DefaultConfig().Listen,
		MayBePublic: c.Token != "" && c.TLS.Enabled(),
		Hint:        "; give a token and certificates in [console.tls], or listen on 127.0.0.1",
	})
}
