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

// ServePlainNATS runs a NATS server without anything of Muster until the context is done. It writes
// a line to w once it listens.
func ServePlainNATS(ctx context.Context, load Load, pingInterval time.Duration, w io.Writer) error {
	plain := broker.Bare{Listen: strings.TrimPrefix(load.Server, "nats://"), PingInterval: pingInterval}
	if load.TLS {
		site, err := enroll.Open(load.Site)
		if err != nil {
			return err
		}
		files := site.Files()
		plain.Cert, plain.Key, plain.CA = files.Cert, files.Key, files.CA
	}
	return plain.Run(ctx, func() error {
		_, err := fmt.Fprintln(w, ready)
		return err
	})
}
