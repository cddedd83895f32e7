package adapter

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
)

const (
	// writeWait is how long a publish may be stuck in a connection whose other end has
	// stopped reading.
	writeWait = 2 * time.Second
	// sayAgain keeps a connection that fails again and again from filling the log.
	sayAgain = time.Minute
)

// links counts what happens to the connections of an adapter, and says why.
type links struct {
	log           hclog.Logger
	reconnections atomic.Uint64
	errors        atomic.Uint64
	said          atomic.Int64 // Unix nanoseconds
}

// failed is called with every error of a connection.
func (l *links) failed(nc *nats.Conn, _ *nats.Subscription, err error) {
	l.errors.Add(1)
	now := time.Now()
	if said := l.said.Load(); now.UnixNano()-said > int64(sayAgain) && l.said.CompareAndSwap(said, now.UnixNano()) {
		l.log.Warn("connection fails", "connection", nc.Opts.Name, "servers", strings.Join(nc.Opts.Servers, ","), "error", err)
	}
}

// options keep a connection for ever, and refuse to publish while there is none: what the
// client library would keep for later, the retries send too.
func (l *links) options() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1),
		nats.FlusherTimeout(writeWait),
		nats.ReconnectHandler(func(*nats.Conn) { l.reconnections.Add(1) }),
		nats.ReconnectErrHandler(func(nc *nats.Conn, err error) { l.failed(nc, nil, err) }),
		nats.ErrorHandler(l.failed),
	}
}

// remoteOptions are for the connection to stream.servers. It need not be there at start.
func (a *Adapter) remoteOptions() []nats.Option {
	options := append(a.links.options(),
		nats.Name("choria adapter "+a.cfg.Name),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(time.Second),
		nats.ReconnectJitter(500*time.Millisecond, time.Second),
		nats.IgnoreAuthErrorAbort(),
	)
	if a.cfg.Stream.User != "" {
		options = append(options, nats.UserInfo(a.cfg.Stream.User, a.cfg.Stream.Password))
	}
	if a.cfg.Stream.Credentials != "" {
		options = append(options, nats.UserCredentials(a.cfg.Stream.Credentials))
	}
	return options
}
