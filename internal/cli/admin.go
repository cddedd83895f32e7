package cli

import (
	"crypto/rand"
	"errors"
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
	unguessable := nats.CustomInboxPrefix("_INBOX_" + rand.Text()) // readers may subscribe to _INBOX.>
	nc, err := nats.Connect(address, append(options, unguessable)...)
	if errors.Is(err, nats.ErrAuthorization) {
		return nil, fmt.Errorf("connect to the broker at %s: %w; %s", address, err, cfg.AdminHint())
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the broker at %s: %w; "+
			"start the appliance with \"muster run\"", address, err)
	}
	return nc, nil
}
