package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/enroll"
)

// ready is said once a process does what it was started for.
const ready = "ready"

// ServeBare runs a server that is NATS alone, says so on w, and ends when the context is done.
func ServeBare(ctx context.Context, load Load, pingInterval time.Duration, w io.Writer) error {
	bare := broker.Bare{Listen: strings.TrimPrefix(load.Server, "nats://"), PingInterval: pingInterval}
	if load.TLS {
		site, err := enroll.Open(load.Site)
		if err != nil {
			return err
		}
		files := site.Files()
		bare.Cert, bare.Key, bare.CA = files.Cert, files.Key, files.CA
	}
	return bare.Run(ctx, func() error {
		_, err := fmt.Fprintln(w, ready)
		return err
	})
}
