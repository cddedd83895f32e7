package console

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/muster-appliance/muster/internal/config"
)

// Config is the [console] table: where people and monitoring ask.
type Config struct {
	Listen string
}

// DefaultConfig listens on loopback, where NATS's own monitoring would.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8222"} }

// Keys lists the keys of [console].
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "listen", Value: config.String(&c.Listen), Help: "address and port for metrics, health and monitoring; loopback only"},
	}
}

// Validate keeps the console on this machine: it asks nobody who they are.
func (c *Config) Validate(check *config.Check) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		check.Problem("listen", "%q is not an address and a port; write them as %q", c.Listen, DefaultConfig().Listen)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		check.Problem("listen", "%q has no port from 0 to 65535", c.Listen)
	}
	addr, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !addr.IsLoopback()) {
		check.Problem("listen", "%q is open to the network, and the console asks for no password; listen on 127.0.0.1, with a proxy in front where others must reach it", c.Listen)
	}
}
