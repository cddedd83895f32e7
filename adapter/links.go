package adapter

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// links counts what happens to the connections of an adapter.
type links struct {
	reconnections atomic.Uint64
	errors        atomic.Uint64
}

func (l *links) failed(*nats.Conn, *nats.Subscription, error) { l.errors.Add(1) }

// options keep a connection for ever, and refuse to publish while there is none: what the
// client library would keep for later, the retries send too.
func (l *links) options() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1),
		nats.ReconnectHandler(func(*nats.Conn) { l.reconnections.Add(1) }),
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
