// Package broker runs the embedded NATS server: its listener, its accounts, which connections
// it admits and with which permissions. It reads no messages and declares no streams.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/audit"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// reconnectWait is short because an internal connection crosses no network.
const reconnectWait = 100 * time.Millisecond

// Options is what the appliance gives to its broker.
type Options struct {
	Name       string           // the server's name in the NATS network
	StoreDir   string           // directory of JetStream's store
	CRLRecord  string           // file that records which CRLs were in force; empty: none
	Memory     int64            // bytes that the process may use; 0: not known
	MaxBacklog int64            // backlog: bytes that may wait for an internal connection; 0: NATS's 64 MiB
	Ingest     []string         // subjects that adapters read, and nodes may publish to
	Private    []string         // subjects that only the appliance publishes to
	Intakes    []Intake         // subjects that components read together with the publisher of each message
	Verifier   *choria.Verifier // verifies tokens; the broker gives it the CA
	Rejected   *rejected.Table  // records refused connections; nil: they are not recorded
	Now        func() time.Time
	Log        hclog.Logger

	// Audit records connections with administrator's rights. It must not wait. nil: they are not recorded.
	Audit func(audit.Record)

	// Recorded returns the streams as they are recorded: before the store is opened, damaged
	// configurations are restored from it. Noticed receives each that was. Reopened is called once
	// the store was reopened. All three may be nil together.
	Recorded func() []integrity.Stream
	Noticed  func(integrity.Finding)
	Reopened func()

	// CheckRequests is whether the appliance receives requests to JetStream's API, see mapRequests.
	// PrivateStreams are the names of private streams, and WriteToken is the secret in the subjects to which
	// they listen: it is removed from NATS's log and pages.
	CheckRequests  bool
	PrivateStreams []string
	WriteToken     string

	// MaxClientBacklog is how many bytes may wait for all connections of nodes and clients together,
	// see backlogLimits; below MinClientBacklog: that.
	MaxClientBacklog int64
}

// Broker is the NATS server of one appliance.
type Broker struct {
	cfg          Config
	js           JetStream
	opts         Options
	auth         *authenticator
	storeMonitor *storeMonitor
	log          *serverLog
	storeOpen    sync.RWMutex   // held while the store is opened; for reading, while it is read
	metasMu      sync.Mutex     // locked after storeOpen
	metas        metaCache      // guarded by metasMu
	reopenings   atomic.Int64   // how often a reopening of the store began or ended; odd: it goes on
	certs        *certificates  // nil without TLS files, and before Open
	srv          *server.Server // nil before Open

	trustInterval time.Duration
	trustMu       sync.Mutex   // held while files are loaded and applied
	revocations   *revocations // nil before Open

	permissionRefusals *permissionRefusals
	links              *links

	closeOnce     sync.Once
	refusalEvents *nats.Conn     // receives events of refused connections; nil before Open
	pages         chan struct{}  // has an element for each answer of Handlers that is being made
	quit          chan struct{}  // closed by Close
	wg            sync.WaitGroup // of the goroutines that Open starts
}

// New returns a broker that has not started.
func New(cfg Config, js JetStream, o Options) *Broker {
	b := &Broker{
		cfg: cfg, js: js, opts: o, metas: metaCache{}, trustInterval: trustInterval,
		pages: make(chan struct{}, maxPages), quit: make(chan struct{}),
	}
	b.auth = newAuthenticator(&b.cfg, o)
	b.storeMonitor = newStoreMonitor(b)
	b.permissionRefusals = newPermissionRefusals(b.auth, o.Log, o.Now)
	b.links = newLinks(&b.cfg.Leafnodes, o.Log)
	b.auth.links = b.links
	b.log = &serverLog{
		log: o.Log, refusals: b.auth.refusals, permissionRefusals: b.permissionRefusals, token: o.WriteToken,
		links: b.links,
		now:   o.Now, warnings: throttle.New(refusalInterval),
	}
	return b
}

// Open starts the server and recovers the stored streams. From then on components may
// connect. The port of [broker] stays closed until Accept; Open only probes it, so that a taken port is
// an error at once. The server opens the other ports, and the broker refuses connections to them until Accept.
func (b *Broker) Open(ctx context.Context) error {
	if err := b.cfg.probeListeners(); err != nil {
		return err
	}
	if err := b.openTrust(); err != nil {
		return err
	}
	options, err := b.options()
	if err != nil {
		return err
	}
	srv, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("set up the server: %w", err)
	}
	b.srv = srv
	b.auth.lookupAccount = srv.LookupAccount
	b.auth.isOpen = func(id uint64) bool { return srv.GetClient(id) != nil || srv.GetLeafNode(id) != nil }
	b.auth.leafnodes = b.leafnodePermissions()
	b.auth.disconnect = func(id uint64) bool { return srv.DisconnectClientByID(id) == nil }
	srv.SetLoggerV2(b.log, b.opts.Log.IsTrace(), false, false)
	b.restoreMeta()
	srv.Start()
	if err := b.recoverStreams(); err != nil {
		return errors.Join(fmt.Errorf("start the server: %w", err), b.Close(context.WithoutCancel(ctx)))
	}
	if err := b.subscribeRefused(); err != nil {
		return errors.Join(err, b.Close(context.WithoutCancel(ctx)))
	}
	b.wg.Go(b.watchStore)
	b.wg.Go(b.watchUnauthenticated)
	b.wg.Go(b.watchBacklogs)
	if b.cfg.Leafnodes.enabled() {
		b.wg.Go(b.watchLinks)
	}
	if b.certs != nil || b.cfg.acceptsTokens() || len(b.cfg.Sites) > 0 {
		b.wg.Go(b.watchTrust)
	}
	return nil
}

func (b *Broker) recoverStreams() error {
	if err := b.log.fatalError(); err != nil {
		return err
	}
	acc, err := b.srv.LookupAccount(account)
	if err != nil {
		return err
	}
	if err := acc.EnableJetStream(nil, nil); err != nil {
		return fmt.Errorf("recover the streams in %s: %w", b.opts.StoreDir, err)
	}
	return b.log.fatalError()
}

// Connect opens an internal connection into the account of the nodes: in this process,
// without a port. It reconnects forever. The caller closes it.
func (b *Broker) Connect(name string, options ...nats.Option) (*nats.Conn, error) {
	return b.connect(name, b.auth.internalSecret, options)
}

// ConnectSystem opens an internal connection into the system account, where the server
// publishes events about its connections.
func (b *Broker) ConnectSystem(name string, options ...nats.Option) (*nats.Conn, error) {
	return b.connect(name, b.auth.systemSecret, options)
}

func (b *Broker) connect(name, secret string, options []nats.Option) (*nats.Conn, error) {
	all := append([]nats.Option{
		nats.InProcessServer(b.srv),
		nats.Name(name),
		nats.Token(secret),
		nats.CustomInboxPrefix("_INBOX_" + rand.Text()), // that nothing else can guess
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
	}, options...)
	nc, err := nats.Connect("", all...)
	if err != nil {
		return nil, fmt.Errorf("connect %s to the broker: %w", name, err)
	}
	return nc, nil
}

// DialInproc opens an internal connection for high message rates into the account of the nodes: it
// publishes, and delivers what is published to the subjects to the receiver. It does not reconnect.
func (b *Broker) DialInproc(name string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error) {
	return b.dial(name, b.auth.internalSecret, subjects, receiver)
}

func (b *Broker) dial(name, secret string, subjects []string, receiver inproc.Receiver) (*inproc.Conn, error) {
	conn, err := b.srv.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("connect %s to the broker: %w", name, err)
	}
	c, err := inproc.Open(conn, name, secret, subjects, receiver)
	if err != nil {
		return nil, fmt.Errorf("connect %s to the broker: %w", name, err)
	}
	return c, nil
}

// AdminToken returns the auth_token with which an administrator may CONNECT. Each Broker has
// a new one.
func (b *Broker) AdminToken() string { return b.auth.adminSecret }

// Accept opens the port: from here on nodes connect, on all ports.
func (b *Broker) Accept() error {
	b.auth.accepts.Store(true)
	b.srv.AcceptLoop(make(chan struct{})) // returns once it listens, and closes the channel
	if err := b.log.fatalError(); err != nil {
		return fmt.Errorf("broker.listen: %w", err)
	}
	return nil
}

// Address returns where nodes connect, as host:port, once Accept has returned.
func (b *Broker) Address() string { return b.srv.Addr().String() }

// IsOpen reports whether the connection with that id is open.
func (b *Broker) IsOpen(id uint64) bool { return b.auth.isOpen(id) }

// ServerID returns the id of the server process: ids of connections are unique in it.
func (b *Broker) ServerID() string { return b.srv.ID() }

// Connections returns the number of connections, internal ones included.
func (b *Broker) Connections() int { return b.srv.NumClients() }

// RefuseNew makes the broker refuse all new connections except internal ones.
func (b *Broker) RefuseNew() { b.auth.refuseNew.Store(true) }

// DisconnectExternal closes all connections except internal ones and returns how many: nodes
// and clients. Messages that the server had read from them are still delivered, a moment later
// at most.
func (b *Broker) DisconnectExternal() (count int, err error) {
	connections, err := b.srv.Connz(&server.ConnzOptions{Limit: int(b.cfg.MaxConnections)})
	if err != nil {
		return 0, fmt.Errorf("list connections: %w", err)
	}
	for _, c := range connections.Conns {
		if !b.auth.isInternal(c.Cid) {
			_ = b.srv.DisconnectClientByID(c.Cid) // an error means that it has already closed
			count++
		}
	}
	leafnodes, err := b.disconnectLeafnodes()
	return count + leafnodes, err
}

// MessagesSent returns how many messages the server has sent to the connection with that id,
// which may have closed; those that did not arrive are lost. ok is false if the server does not
// remember the connection.
func (b *Broker) MessagesSent(id uint64) (msgs uint64, ok bool) {
	connections, err := b.srv.Connz(&server.ConnzOptions{CID: id, State: server.ConnAll})
	if err != nil || len(connections.Conns) != 1 {
		return 0, false
	}
	return uint64(connections.Conns[0].OutMsgs), true
}

// Close stops the server and waits until it and all goroutines have ended. It may be called
// twice, and before Open.
func (b *Broker) Close(context.Context) error {
	if b.srv == nil {
		return nil
	}
	b.closeOnce.Do(func() {
		close(b.quit)
		b.wg.Wait()
		if b.refusalEvents != nil {
			b.refusalEvents.Close()
		}
		b.srv.Shutdown()
		b.srv.WaitForShutdown()
	})
	return nil
}
