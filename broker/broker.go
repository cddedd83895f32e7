// Package broker runs the embedded NATS server: its listener, its accounts and who may
// connect. It reads no message and knows no stream.
package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// reconnectWait is short because an organ's connection crosses no network.
const reconnectWait = 100 * time.Millisecond

// Options is what a broker is given by the appliance around it.
type Options struct {
	Name       string           // the server's name in the NATS network
	Store      string           // directory of what JetStream stores
	MaxPending int64            // bytes that a connection may lag behind before it is ended; 0: NATS's 64 MiB
	Ingest     []string         // subjects that adapters read, and nodes may publish to
	Private    []string         // subjects that the appliance alone publishes to
	Verifier   *choria.Verifier // whose tokens count; it is told of the CA
	Rejected   *rejected.Table  // is told who was not let in; nil: nobody
	Now        func() time.Time
	Log        hclog.Logger
}

// Broker is the NATS server of one appliance.
type Broker struct {
	cfg      Config
	js       JetStream
	name     string
	store    string
	now      func() time.Time
	pending  int64
	verifier *choria.Verifier
	auth     *authenticator
	certs    *certificates // nil: no TLS
	log      *serverLog
	srv      *server.Server
	once     sync.Once
	quit     chan struct{}
	wg       sync.WaitGroup
}

// New makes a broker that has not started.
func New(cfg Config, js JetStream, o Options) *Broker {
	b := &Broker{
		cfg:      cfg,
		js:       js,
		name:     o.Name,
		store:    o.Store,
		now:      o.Now,
		pending:  o.MaxPending,
		verifier: o.Verifier,
		quit:     make(chan struct{}),
	}
	b.auth = newAuthenticator(&b.cfg, o)
	b.auth.allowed.buckets = (&buckets{list: b.streamNames, now: o.Now}).current
	b.log = &serverLog{log: o.Log, refused: b.auth.refused}
	return b
}

// Open starts the server and recovers what is stored. Organs may connect from then on;
// the port is only probed, so that a taken one is named now, and stays closed until Accept.
func (b *Broker) Open(ctx context.Context) error {
	if err := probe(b.cfg.Listen); err != nil {
		return err
	}
	if err := b.openTrust(); err != nil {
		return err
	}
	srv, err := server.NewServer(b.options())
	if err != nil {
		return fmt.Errorf("set up the server: %w", err)
	}
	b.srv = srv
	b.auth.lookup = srv.LookupAccount
	srv.SetLoggerV2(b.log, b.log.log.IsTrace(), false, false)
	srv.Start()
	if err := b.started(); err != nil {
		return errors.Join(fmt.Errorf("start the server: %w", err), b.Close(context.WithoutCancel(ctx)))
	}
	b.wg.Go(b.watchStore)
	if b.pending > mostPending {
		b.wg.Go(b.watchSlow)
	}
	if b.certs != nil {
		b.wg.Go(b.watchCertificates)
	}
	return nil
}

// openTrust reads the TLS files. A CA alone serves to verify messages.
func (b *Broker) openTrust() (err error) {
	if files := b.cfg.TLS; files.enabled() || files.CA != "" {
		if b.certs, err = openCertificates(files, b.now(), b.verifier.TrustRoots, b.log.log); err != nil {
			return fmt.Errorf("broker.tls: %w", err)
		}
	}
	return nil
}

func (b *Broker) started() error {
	if err := b.log.cause(); err != nil {
		return err
	}
	acc, err := b.srv.LookupAccount(account)
	if err != nil {
		return err
	}
	if err := acc.EnableJetStream(nil, nil); err != nil {
		return fmt.Errorf("recover the streams in %s: %w", b.store, err)
	}
	return b.log.cause()
}

// Connect opens a connection for an organ: in this process, without a port, into the
// account of the nodes. It reconnects for ever.
func (b *Broker) Connect(name string, options ...nats.Option) (*nats.Conn, error) {
	return b.connect(name, b.auth.organSecret, options)
}

// ConnectSystem opens a connection into the system account, where the server tells of
// its connections.
func (b *Broker) ConnectSystem(name string, options ...nats.Option) (*nats.Conn, error) {
	return b.connect(name, b.auth.systemSecret, options)
}

func (b *Broker) connect(name, secret string, options []nats.Option) (*nats.Conn, error) {
	all := append([]nats.Option{
		nats.InProcessServer(b.srv),
		nats.Name(name),
		nats.Token(secret),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
	}, options...)
	nc, err := nats.Connect("", all...)
	if err != nil {
		return nil, fmt.Errorf("connect %s to the broker: %w", name, err)
	}
	return nc, nil
}

// DialInproc connects an organ that receives what nodes publish to the subjects, or publishes
// much, over a connection that is as fast as there is one. It does not reconnect.
func (b *Broker) DialInproc(name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error) {
	conn, err := b.srv.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("connect %s to the broker: %w", name, err)
	}
	c, err := inproc.Open(conn, name, b.auth.organSecret, subjects, receiver)
	if err != nil {
		return nil, fmt.Errorf("connect %s to the broker: %w", name, err)
	}
	return c, nil
}

// AdminToken lets in who shows it in CONNECT, as auth_token. It is another one after each
// start.
func (b *Broker) AdminToken() string { return b.auth.adminSecret }

// Accept opens the port: from here on nodes connect.
func (b *Broker) Accept() error {
	b.srv.AcceptLoop(make(chan struct{})) // returns once it listens, and closes the channel
	if err := b.log.cause(); err != nil {
		return fmt.Errorf("broker.listen: %w", err)
	}
	return nil
}

// Address is where nodes connect, as host and port, once Accept has returned.
func (b *Broker) Address() string {
	return b.srv.Addr().String()
}

// Connections is how many connections there are, those of the organs included.
func (b *Broker) Connections() int { return b.srv.NumClients() }

// RefuseNew turns away everybody who is not connected yet, but the organs.
func (b *Broker) RefuseNew() {
	b.auth.refusing.Store(true)
}

// DisconnectNodes ends every connection but those of the organs, and tells how many. What
// the server had read from them is delivered, a moment later at most.
func (b *Broker) DisconnectNodes() (nodes int, err error) {
	connections, err := b.srv.Connz(&server.ConnzOptions{Limit: int(b.cfg.MaxConnections)})
	if err != nil {
		return 0, fmt.Errorf("list connections: %w", err)
	}
	for _, c := range connections.Conns {
		if !b.auth.isOrgan(c.Cid) {
			_ = b.srv.DisconnectClientByID(c.Cid) // it may have gone by itself
			nodes++
		}
	}
	return nodes, nil
}

// Delivered is how many messages the server has sent to the connection of that id, which
// may have ended; false where it does not remember the connection.
func (b *Broker) Delivered(id uint64) (msgs uint64, ok bool) {
	connections, err := b.srv.Connz(&server.ConnzOptions{CID: id, State: server.ConnAll})
	if err != nil || len(connections.Conns) != 1 {
		return 0, false
	}
	return uint64(connections.Conns[0].OutMsgs), true
}

// Close stops the server and waits for it. It may be called twice, and before Open.
func (b *Broker) Close(context.Context) error {
	if b.srv != nil {
		b.once.Do(func() {
			close(b.quit)
			b.wg.Wait()
			b.srv.Shutdown()
			b.srv.WaitForShutdown()
		})
	}
	return nil
}
