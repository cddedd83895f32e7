package adapter

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/dial"
	"github.com/muster-appliance/muster/internal/puback"
	"github.com/nats-io/nats.go"
)

// dialTimeout is how long each step may take until there is a connection to stream.servers.
const dialTimeout = 2 * time.Second

// writeTimeout is how long a publish may hang in a connection whose other end has stopped reading.
const writeTimeout = 2 * time.Second

// remote is the transport to another NATS server, at stream.servers. It uses the client library.
type remote struct{ nc *nats.Conn }

// openRemote starts to connect: the other NATS server need not be reachable yet. The publisher gets its
// acks from a goroutine of the library.
func (a *Adapter) openRemote(p *publisher) (*remote, error) {
	nc, err := nats.Connect(strings.Join(a.cfg.Stream.Servers, ","), a.remoteOptions()...)
	if err != nil {
		return nil, fmt.Errorf("connect to stream.servers: %w", err)
	}
	if !nc.IsConnected() {
		a.connStats.failures.Add(1) // the library reports only the attempts that follow
	}
	acks, err := nc.Subscribe(p.inbox+"*", func(m *nats.Msg) {
		status := ""
		if len(m.Data) == 0 {
			status = m.Header.Get("Status")
		}
		p.ackReceived(m.Subject, puback.Parse(status, m.Data))
	})
	if err == nil {
		// A pending message waits for each ack: none may be dropped.
		err = acks.SetPendingLimits(-1, -1)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("subscribe to acks: %w", err)
	}
	return &remote{nc}, nil
}

// remoteOptions returns options that reconnect for ever, and refuse to publish while there is no
// connection: the adapter retries, and a message that the library buffered would be published twice.
func (a *Adapter) remoteOptions() []nats.Option {
	failed := func(nc *nats.Conn, err error) {
		a.connStats.countError(nc.Opts.Name, strings.Join(nc.Opts.Servers, ","), err)
	}
	started := a.opts.Now()
	var connected atomic.Bool
	options := []nats.Option{
		nats.Name("choria adapter " + a.cfg.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(time.Second),
		nats.ReconnectJitter(500*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.SetCustomDialer(&dial.Dialer{Timeout: dialTimeout}),
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectHandler(func(*nats.Conn) { a.connStats.reconnections.Add(1) }),
		nats.ConnectHandler(func(*nats.Conn) {
			connected.Store(true)
			a.connStats.countConnected(started)
		}),
		nats.ReconnectErrHandler(func(nc *nats.Conn, err error) {
			if !connected.Load() {
				a.connStats.failures.Add(1)
			}
			failed(nc, err)
		}),
		nats.ClosedHandler(func(*nats.Conn) { a.connStats.closed.Add(1) }),
		nats.ErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) { failed(nc, err) }),
	}
	if a.cfg.Stream.User != "" {
		options = append(options, nats.UserInfo(a.cfg.Stream.User, a.cfg.Stream.Password))
	}
	if a.cfg.Stream.Credentials != "" {
		options = append(options, nats.UserCredentials(a.cfg.Stream.Credentials))
	}
	return options
}

// publish sends a message; it returns puback.ErrTooLarge for one that the server would not accept.
func (r *remote) publish(out *streamMessage, reply string) error {
	header, err := nats.DecodeHeadersMsg(out.header())
	if err != nil {
		return err
	}
	err = r.nc.PublishMsg(&nats.Msg{Subject: out.subject, Reply: reply, Header: header, Data: out.data()})
	if errors.Is(err, nats.ErrMaxPayload) {
		err = puback.ErrTooLarge
	}
	return err
}

func (r *remote) connected() bool { return r.nc.IsConnected() }

func (r *remote) close() { r.nc.Close() }
