package cli

import (
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/nats-io/nats.go"
)

// connectAdmin connects as administrator to the broker of a running appliance with this
// configuration. The caller closes the connection.
func connectAdmin(cfg *appliance.Config) (*nats.Conn, error) {
	options, err := cfg.AdminOptions(time.Now())
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
