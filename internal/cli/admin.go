package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/nats-io/nats.go"
)

// adminOptions let in who may read the data directory of a configuration's appliance: with
// the token that it leaves there.
func adminOptions(cfg *appliance.Config) ([]nats.Option, error) {
	options := []nats.Option{nats.Name("muster")}
	token, err := os.ReadFile(cfg.TokenFile())
	if err == nil {
		options = append(options, nats.Token(string(token)))
	}
	if cfg.Broker.Encrypted() {
		config, err := cfg.Broker.TLS.Local(time.Now())
		if err != nil {
			return nil, fmt.Errorf("broker.tls: %w", err)
		}
		options = append(options, nats.Secure(config))
	}
	return options, nil
}

// connectAdmin connects to the running appliance of a configuration, to change its streams.
func connectAdmin(cfg *appliance.Config) (*nats.Conn, error) {
	options, err := adminOptions(cfg)
	if err != nil {
		return nil, err
	}
	address := reachable(cfg.Broker.Listen)
	nc, err := nats.Connect(address, options...)
	if err != nil {
		return nil, fmt.Errorf("no broker lets us in at %s: %w; start the appliance with \"muster run\", or run this as its user", address, err)
	}
	return nc, nil
}
