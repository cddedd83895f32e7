package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/nats-io/nats-server/v2/server"
)

// ready is said once a process does what it was started for.
const ready = "ready"

// ServeBare runs a NATS server that lets everybody do everything, says so on w, and ends when
// the context is done. It is what a node costs at least.
func ServeBare(ctx context.Context, load Load, pingInterval time.Duration, w io.Writer) error {
	host, text, err := net.SplitHostPort(strings.TrimPrefix(load.Server, "nats://"))
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	options := &server.Options{Host: host, Port: port, NoSigs: true, NoLog: true, PingInterval: pingInterval, AlwaysEnableNonce: true}
	if load.TLS {
		site, err := enroll.Open(load.Site)
		if err != nil {
			return err
		}
		files := site.Files()
		tls := &server.TLSConfigOpts{CertFile: files.Cert, KeyFile: files.Key, CaFile: files.CA}
		if options.TLSConfig, err = server.GenTLSConfig(tls); err != nil {
			return err
		}
		options.TLSTimeout = flushWait.Seconds()
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	go s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(flushWait) {
		return errors.New("NATS is not ready")
	}
	if _, err := fmt.Fprintln(w, ready); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
