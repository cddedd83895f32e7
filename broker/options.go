package broker

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	// closedConnections is how many closed connections the server remembers, for /connz and
	// Broker.MessagesSent.
	closedConnections = 1000
	// handshakeTimeout is long enough for thousands of nodes that reconnect at once.
	handshakeTimeout = 10 * time.Second
	// maxSubscriptions of one connection is far above what a node has: one for each agent in each of
	// its collectives. The server keeps about 1 KiB for each, and its subject.
	maxSubscriptions = 1000
	// maxSubjectTokens is the most tokens in the subject of a subscription. The server keeps about
	// 400 bytes for each.
	maxSubjectTokens = 32
)

// options returns the configuration of the NATS server.
func (b *Broker) options() (*server.Options, error) {
	accounts, err := b.accounts()
	if err != nil {
		return nil, err
	}
	host, port := splitAddress(b.cfg.ListenAddress())
	options := &server.Options{
		ServerName: b.opts.Name,
		Host:       host,
		Port:       port,
		DontListen: true, // Accept opens the port
		NoSigs:     true, NoLog: true,

		MaxConn:        int(b.cfg.MaxConnections),
		MaxPayload:     int32(b.cfg.MaxPayload),
		MaxControlLine: inproc.MaxControlLine,
		MaxSubs:        maxSubscriptions, MaxSubTokens: maxSubjectTokens,
		MaxClosedClients: closedConnections,
		PingInterval:     b.cfg.PingInterval,
		MaxPending:       b.opts.MaxBacklog,

		JetStream:          true,
		StoreDir:           b.opts.StoreDir,
		JetStreamMaxStore:  b.js.MaxStorage,
		JetStreamMaxMemory: b.js.MaxMemory,
		JetStreamDomain:    b.js.Domain,
		SyncInterval:       b.js.syncInterval(), SyncAlways: b.js.SyncAlways(),
		DisableJetStreamBanner: true,

		Accounts:                   accounts,
		SystemAccount:              systemAccount,
		CustomClientAuthentication: b.auth,
		AlwaysEnableNonce:          true,
	}
	b.listenerOptions(options)
	return options, b.leafOptions(options)
}

// listenerOptions sets the options of TLS and of the ports beside that of [broker].
func (b *Broker) listenerOptions(options *server.Options) {
	if b.cfg.TLS.Enabled() {
		options.TLSConfig = b.certs.serverConfig(b.auth.sockets.add)
		options.TLSTimeout = handshakeTimeout.Seconds()
	}
	b.websocketOptions(options)
}

// splitAddress returns host and port of an address that Validate has checked. NATS expects
// port -1 for any free port.
func splitAddress(address string) (string, int) {
	host, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port
}

// probe opens the port that the key names and closes it again.
func probe(key, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return listenError(key, err)
	}
	return l.Close()
}

// listenError returns the error of a listener with its key, and with what to do about a port that is privileged.
func listenError(key string, err error) error {
	if errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%s: %w; use a port of 1024 or higher, or allow it in the unit as docs/operate.md says", key, err)
	}
	return fmt.Errorf("%s: %w", key, err)
}
