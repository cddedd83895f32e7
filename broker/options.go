package broker

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// controlLine has room for a Choria token twice, which is how it comes in CONNECT.
	controlLine = 64 << 10
	// closedConnections is how many ended connections the server remembers for /connz.
	closedConnections = 1000
	// handshakeTimeout has room for thousands of nodes that come back at once.
	handshakeTimeout = 10 * time.Second
)

func (b *Broker) options() *server.Options {
	host, port := b.address()
	options := &server.Options{
		ServerName: b.name,
		Host:       host,
		Port:       port,
		DontListen: true,
		NoSigs:     true,
		NoLog:      true,

		MaxConn:          int(b.cfg.MaxConnections),
		MaxPayload:       int32(b.cfg.MaxPayload),
		MaxControlLine:   controlLine,
		MaxClosedClients: closedConnections,
		PingInterval:     b.cfg.PingInterval,
		MaxPending:       b.pending,

		JetStream:              true,
		StoreDir:               b.store,
		JetStreamMaxStore:      b.js.MaxStorage,
		JetStreamMaxMemory:     b.js.MaxMemory,
		JetStreamDomain:        b.js.Domain,
		SyncInterval:           b.js.SyncInterval,
		DisableJetStreamBanner: true,

		Accounts:                   []*server.Account{server.NewAccount(account), server.NewAccount(systemAccount)},
		SystemAccount:              systemAccount,
		CustomClientAuthentication: b.auth,
		AlwaysEnableNonce:          true,
	}
	if b.cfg.TLS.enabled() {
		options.TLSConfig = b.certs.config()
		options.TLSTimeout = handshakeTimeout.Seconds()
	}
	return options
}

// address is the host and port to listen on, where NATS wants -1 for any free port.
func (b *Broker) address() (string, int) {
	host, text, _ := net.SplitHostPort(b.cfg.Listen) // checked by Validate
	port, _ := strconv.Atoi(text)
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port
}

// probe binds the address and lets go of it again.
func probe(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("broker.listen: %w", err)
	}
	return l.Close()
}
