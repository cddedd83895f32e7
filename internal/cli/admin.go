package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/nats-io/nats.go"
)

// adminOptions returns the options to connect as administrator to the broker of a running appliance
// with this configuration: its admin token, which a running appliance keeps in its data directory,
// and trust in its certificate. A token that cannot be read is left out; the broker then refuses
// the connection, or accepts it as in a lab.
func adminOptions(cfg *appliance.Config) ([]nats.Option, error) {
	options := []nats.Option{nats.Name("muster")}
	token, err := os.ReadFile(cfg.TokenFile())
	if err == nil {
		options = append(options, nats.Token(string(token)))
	}
	if cfg.Broker.Encrypted() {
		tls, err := cfg.Broker.TLS.LocalClient(time.Now())
		if err != nil {
			return nil, fmt.Errorf("broker.tls: %w", err)
		}
		options = append(options, nats.Secure(tls))
	}
	return options, nil
}

// connectAdmin connects as administrator to the broker of a running appliance with this
// configuration. The caller closes the connection.
func connectAdmin(cfg *appliance.Config) (*nats.Conn, error) {
	options, err := adminOptions(cfg)
	if err != nil {
		return nil, err
	}
	address := config.DialAddress(cfg.Broker.ListenAddress())
	nc, err := nats.Connect(address, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker at %s: %w; "+
			"start the appliance with \"muster run\", or run this command as root or as the appliance's user", address, err)
	}
	return nc, nil
}
