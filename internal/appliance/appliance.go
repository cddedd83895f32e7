// Package appliance puts the organs together: it hands each its configuration and its
// connection, opens them in the order in which a message travels, and closes them so that
// no message is lost uncounted. It does none of their work.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/nats-io/nats.go/jetstream"
)

// Appliance is one running collection point.
type Appliance struct {
	cfg      *Config
	log      hclog.Logger
	version  string
	verifier *choria.Verifier // whose word counts, for connections and for messages
	rejected *rejected.Table  // who was turned away, by whichever of them
	lock     *dirLock
	broker   *broker.Broker
	streams  jetstream.JetStream
	fleet    *fleet.Fleet // nil: nobody watches the nodes
	adapters []*adapter.Adapter
	console  *console.Console
	ready    atomic.Bool
	quit     chan struct{}
	wg       sync.WaitGroup
	close    sync.Once
	closeErr error
}

// Options is what an appliance is given by the program around it.
type Options struct {
	Version string
	Log     hclog.Logger
}

// New makes an appliance that does nothing yet.
func New(cfg *Config, o Options) *Appliance {
	return &Appliance{
		cfg:      cfg,
		version:  o.Version,
		log:      o.Log,
		verifier: choria.NewVerifier(cfg.Broker.Tokens()),
		rejected: rejected.New(),
		quit:     make(chan struct{}),
	}
}

// Open starts everything, and opens the port for nodes last: a node's first message never
// meets an adapter that is not listening.
func (a *Appliance) Open(ctx context.Context) error {
	steps := []func(context.Context) error{
		a.takeLock,
		a.openBroker,
		a.openStreams,
		a.openFleet,
		a.openAdapters,
		a.limitMemory,
		a.openConsole,
		a.writeToken,
		a.openDoor,
	}
	for _, step := range steps {
		err := ctx.Err()
		if err == nil {
			err = step(ctx)
		}
		if err != nil {
			return errors.Join(err, a.Close(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

func (a *Appliance) takeLock(context.Context) (err error) {
	a.lock, err = lockDir(a.cfg.DataDir)
	return err
}

func (a *Appliance) openBroker(ctx context.Context) error {
	a.broker = broker.New(a.cfg.Broker, a.cfg.JetStream, broker.Options{
		Name:       a.cfg.Identity,
		Store:      a.cfg.DataDir,
		MaxPending: a.cfg.maxPending(),
		Ingest:     a.cfg.ingested(),
		Private:    a.cfg.private(),
		Verifier:   a.verifier,
		Rejected:   a.rejected,
		Now:        time.Now,
		Log:        a.log.Named("broker"),
	})
	return a.broker.Open(ctx)
}

func (a *Appliance) openFleet(ctx context.Context) error {
	if !a.cfg.Fleet.Enabled {
		return nil
	}
	for _, cfg := range a.cfg.EnabledAdapters() {
		if len(cfg.Stream.Servers) > 0 {
			a.log.Named("fleet").Warn("nodes of an adapter that publishes elsewhere are not in the view", "adapter", cfg.Name)
		}
	}
	a.fleet = fleet.New(a.cfg.Fleet, fleet.Options{
		Site:          a.cfg.Site,
		StoreEvents:   a.cfg.keepsEvents(),
		Now:           time.Now,
		Connect:       a.broker.Connect,
		ConnectSystem: a.broker.ConnectSystem,
		Log:           a.log.Named("fleet"),
	})
	return a.fleet.Open(ctx)
}

func (a *Appliance) openAdapters(ctx context.Context) error {
	buffers := a.cfg.buffers()
	for i, cfg := range a.cfg.EnabledAdapters() {
		one := adapter.New(*cfg, adapter.Options{
			Site:      a.cfg.Site,
			Buffer:    buffers[i],
			Now:       time.Now,
			Dial:      a.broker.DialInproc,
			Delivered: a.broker.Delivered,
			Verifier:  a.verifier,
			Rejected:  a.rejected,
			Log:       a.log.Named("adapter").Named(cfg.Name),
		})
		if err := one.Open(ctx); err != nil {
			return fmt.Errorf("adapter %s: %w", cfg.Name, err)
		}
		a.adapters = append(a.adapters, one)
	}
	return nil
}

func (a *Appliance) limitMemory(context.Context) error {
	a.wg.Go(a.watchMemory)
	return nil
}

func (a *Appliance) openConsole(ctx context.Context) error {
	metrics, choria := a.registries()
	options := console.Options{
		Log: a.log.Named("console"), Now: time.Now, Ready: a.NotReady, Metrics: metrics, Choria: choria,
		NATS: a.broker.Handlers(), Rejected: a.rejected.Entries, Streams: a.listStreams,
	}
	if a.fleet != nil {
		options.Fleet, options.Registrations, options.Events = a.fleet, a.fleet, a.fleet
	}
	a.console = console.New(a.cfg.Console, options)
	return a.console.Open(ctx)
}

// writeToken leaves the admin token where only who may read the data directory finds it.
func (a *Appliance) writeToken(context.Context) error {
	if err := os.WriteFile(a.cfg.TokenFile(), []byte(a.broker.AdminToken()), 0o600); err != nil {
		a.log.Warn("admin token not written, \"muster streams apply\" will not get in", "error", err)
	}
	return nil // a full disk is no reason not to collect
}

func (a *Appliance) openDoor(context.Context) error {
	if err := a.broker.Accept(); err != nil {
		return err
	}
	a.ready.Store(true)
	return nil
}

// Stats are the ledgers of the adapters, by name.
func (a *Appliance) Stats() map[string]adapter.Stats {
	stats := make(map[string]adapter.Stats, len(a.adapters))
	for _, one := range a.adapters {
		stats[one.Name()] = one.Stats()
	}
	return stats
}

// States are how many nodes are in each state; none where nobody watches them.
func (a *Appliance) States() map[fleet.State]int {
	if a.fleet == nil {
		return nil
	}
	return a.fleet.Summary().States
}

// Reload applies what can change while it runs: the broker's roles and certificates, and the
// fleet's rules. Reloaded tells of which keys.
func (a *Appliance) Reload(cfg *Config) {
	a.broker.Reload(cfg.Broker.Roles)
	if a.fleet != nil {
		a.fleet.Reload(cfg.Fleet)
	}
}

// Reloaded tells whether a changed key is applied by Reload, or by who reads the log's level.
func Reloaded(key string) bool {
	rule, ofFleet := strings.CutPrefix(key, "fleet.")
	return key == "log.level" || strings.HasPrefix(key, "broker.roles.") || ofFleet && fleet.Reloaded(rule)
}

// BrokerAddress is where nodes connect, as host and port.
func (a *Appliance) BrokerAddress() string { return a.broker.Address() }

// ConsoleAddress is where the console listens, as host and port.
func (a *Appliance) ConsoleAddress() string { return a.console.Address() }

// DataDir is where it stores, as an absolute path where there is one.
func (a *Appliance) DataDir() string {
	if abs, err := filepath.Abs(a.cfg.DataDir); err == nil {
		return abs
	}
	return a.cfg.DataDir
}
