package adapter

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats.go"
)

// writeWait is how long a publish may be stuck in a connection whose other end has stopped
// reading.
const writeWait = 2 * time.Second

// remote publishes to another NATS, at stream.servers, with the client library.
type remote struct{ nc *nats.Conn }

// openRemote connects, or goes on trying to; the owner is handed the answers from a goroutine of
// the library.
func (a *Adapter) openRemote(owner *publisher) (*remote, error) {
	nc, err := nats.Connect(strings.Join(a.cfg.Stream.Servers, ","), a.remoteOptions()...)
	if err != nil {
		return nil, fmt.Errorf("connect to stream.servers: %w", err)
	}
	answers, err := nc.Subscribe(owner.inbox+"*", func(m *nats.Msg) {
		status := ""
		if len(m.Data) == 0 {
			status = m.Header.Get("Status")
		}
		owner.answered(m.Subject, readAnswer(status, m.Data))
	})
	if err == nil {
		// Each answer belongs to a message that is counted already: none may be dropped.
		err = answers.SetPendingLimits(-1, -1)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	return &remote{nc}, nil
}

// remoteOptions keep the connection for ever, though it need not be there at start, and
// refuse to publish while there is none: what the library would keep for later, the retries
// send too.
func (a *Adapter) remoteOptions() []nats.Option {
	failed := func(nc *nats.Conn, err error) {
		a.links.failed(nc.Opts.Name, strings.Join(nc.Opts.Servers, ","), err)
	}
	options := []nats.Option{
		nats.Name("choria adapter " + a.cfg.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(time.Second),
		nats.ReconnectJitter(500*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.FlusherTimeout(writeWait),
		nats.ReconnectHandler(func(*nats.Conn) { a.links.reconnections.Add(1) }),
		nats.ReconnectErrHandler(failed),
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

func (r *remote) publish(out *output, reply string) error {
	header, err := nats.DecodeHeadersMsg(out.header())
	if err != nil {
		return err
	}
	err = r.nc.PublishMsg(&nats.Msg{Subject: out.subject, Reply: reply, Header: header, Data: out.data()})
	if errors.Is(err, nats.ErrMaxPayload) {
		err = inproc.ErrTooLarge
	}
	return err
}

func (r *remote) connected() bool { return r.nc.IsConnected() }

func (r *remote) close() { r.nc.Close() }
