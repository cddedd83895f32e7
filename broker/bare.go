package broker

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// bareWait is how long the server may take to listen.
const bareWait = 10 * time.Second

// Bare is a NATS server without authentication and permissions. Benchmarks compare with it:
// it shows the minimum cost of a connection.
type Bare struct {
	Listen        string
	PingInterval  time.Duration
	Cert, Key, CA string // files; empty: no TLS
}

// Run serves until ctx is done, and calls listens once it accepts connections.
func (b Bare) Run(ctx context.Context, listens func() error) error {
	options, err := b.options()
	if err != nil {
		return err
	}
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	go s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(bareWait) {
		return fmt.Errorf("NATS does not listen on %s after %s", b.Listen, bareWait)
	}
	if err := listens(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (b Bare) options() (*server.Options, error) {
	host, text, err := net.SplitHostPort(b.Listen)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", b.Listen, err)
	}
	options := &server.Options{
		Host: host, Port: port, NoSigs: true, NoLog: true, PingInterval: b.PingInterval, AlwaysEnableNonce: true,
	}
	if b.Cert != "" {
		options.TLSTimeout = handshakeTimeout.Seconds()
		options.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{CertFile: b.Cert, KeyFile: b.Key, CaFile: b.CA})
	}
	return options, err
}
