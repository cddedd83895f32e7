package appliance

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
)

// TokenFile returns the file in which a running appliance keeps its admin token.
func (c *Config) TokenFile() string { return filepath.Join(c.DataDir, "admin.token") }

// AdminOptions returns the options to connect as administrator to the broker of a running
// appliance with this configuration: its admin token, and trust in its certificate. A token
// that cannot be read is left out; the broker then refuses the connection, or accepts it as in
// a lab.
func (c *Config) AdminOptions(now time.Time) ([]nats.Option, error) {
	options := []nats.Option{nats.Name("muster")}
	token, err := os.ReadFile(c.TokenFile())
	if err == nil {
		options = append(options, nats.Token(string(token)))
	}
	if c.Broker.Encrypted() {
		tls, err := c.Broker.TLS.LocalClient(now)
		if err != nil {
			return nil, fmt.Errorf("broker.tls: %w", err)
		}
		options = append(options, nats.Secure(tls))
	}
	return options, nil
}
