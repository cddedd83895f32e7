package cli

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

const (
	// nextPorts is how many ports are tried where the usual one is taken.
	nextPorts = 50
)

// demo is a lab with a simulated fleet.
type demo struct {
	*program
	nodes    int
	interval time.Duration
	length   time.Duration
	tls      bool
	chaos    bool
	terminal bool
}

func (p *program) demoCommand() *cobra.Command {
	d := &demo{program: p, terminal: isTerminal(p.out)}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a lab with a simulated fleet that registers over real connections",
		Long: `Run an appliance on loopback with a temporary directory, and simulated nodes that
connect over TCP and register their facts, half of them with Choria's protocol 1 and
half with 2. At the end the appliance's ledger is held against what the nodes have
sent; the exit status is 1 if a single message is unaccounted for.`,
		Example: `  muster demo
  muster demo --nodes 1000 --interval 10s --for 1m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	cmd.Flags().IntVar(&d.nodes, "nodes", 200, "simulated nodes")
	cmd.Flags().DurationVar(&d.interval, "interval", 5*time.Second, "time between two registrations of a node")
	cmd.Flags().DurationVar(&d.length, "for", 0, "how long to run; 0: until Ctrl-C")
	cmd.Flags().BoolVar(&d.tls, "tls", false, "with TLS: nodes have certificates and tokens, and what they send is verified")
	cmd.Flags().BoolVar(&d.chaos, "chaos", false, "nodes stop or are cut off, and come back")
	return cmd
}

func (d *demo) check() error {
	switch {
	case d.nodes < 1 || d.nodes > 15000:
		return usageError{fmt.Errorf("--nodes %d: want 1 to 15000, each is a connection of this process", d.nodes)}
	case d.interval < 10*time.Millisecond:
		return usageError{fmt.Errorf("--interval %s: want at least 10ms", d.interval)}
	case d.length < 0:
		return usageError{fmt.Errorf("--for %s: want 0 or more", d.length)}
	}
	return nil
}

func (d *demo) run(ctx context.Context) error {
	if err := d.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "muster-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg := d.config(dir)
	var kind simnode.Kind
	if d.tls {
		kind, err = secure(cfg)
	}
	if err != nil {
		return err
	}
	return d.runWith(ctx, cfg, kind)
}

// runWith runs the lab, and holds its ledger against what its nodes have sent.
func (d *demo) runWith(ctx context.Context, cfg *appliance.Config, kind simnode.Kind) error {
	a := appliance.New(cfg, appliance.Options{Version: version(), Log: d.newLog(cfg.Log)})
	if err := a.Open(ctx); err != nil {
		return err
	}
	defer a.Close(context.Background())
	fleet, err := simnode.NewFleet("nats://"+a.BrokerAddress(), d.nodes, kind, d.interval)
	if err != nil {
		return err
	}
	defer fleet.Close()
	d.printAddresses(a)
	if err := d.connect(ctx, fleet); err != nil {
		if ctx.Err() != nil { // asked to end before all were there
			return nil
		}
		return err
	}
	if err := d.live(ctx, a, fleet); err != nil {
		return err
	}
	fleet.Close()
	if err := a.Close(context.Background()); err != nil {
		return err
	}
	return d.settle(total(a), fleet.Sent(), fleet.Failed())
}

// config is the lab's configuration, on the next free ports, quiet but for trouble. What
// becomes of a node shows as soon as its interval allows.
func (d *demo) config(dir string) *appliance.Config {
	cfg, _ := appliance.Parse("", nil) // the defaults are valid
	cfg.DataDir = dir
	cfg.Log.Level = "warn"
	cfg.Broker.Listen = freePort(cfg.Broker.Listen)
	cfg.Console.Listen = freePort(cfg.Console.Listen)
	cfg.Fleet.LateAfter = 2*d.interval + 5*time.Second
	cfg.Fleet.DownAfter = 2 * cfg.Fleet.LateAfter
	cfg.Fleet.DisconnectGrace = 5 * time.Second
	cfg.Fleet.Index = []string{"os.name", "role", "processors.count"}
	return cfg
}

// secure gives the lab a CA and an organization issuer, and what its nodes prove
// themselves with.
func secure(cfg *appliance.Config) (simnode.Kind, error) {
	site, err := enroll.Init(enroll.Options{Dir: filepath.Join(cfg.DataDir, "site"), Name: "127.0.0.1", Issuer: true}, time.Now())
	if err != nil {
		return simnode.Kind{}, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return simnode.Kind{}, err
	}
	cfg.Broker.TLS = broker.TLS(site.Files())
	cfg.Broker.Issuers = map[string]string{"choria": site.IssuerKey()}
	return simnode.Kind{Site: site, RSA: key}, nil
}

// freePort is the address, or the same with the next port that is not taken.
func freePort(address string) string {
	host, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	for n := range nextPorts {
		next := net.JoinHostPort(host, strconv.Itoa(port+n))
		if l, err := net.Listen("tcp", next); err == nil {
			_ = l.Close()
			return next
		}
	}
	return address
}

func (d *demo) connect(ctx context.Context, fleet *simnode.Fleet) error {
	progress := func() {}
	if d.terminal {
		bar := progressbar.NewOptions(d.nodes, progressbar.OptionSetWriter(d.out), progressbar.OptionShowCount(),
			progressbar.OptionSetDescription("connecting nodes"), progressbar.OptionSetWidth(40), progressbar.OptionClearOnFinish())
		progress = func() { _ = bar.Add(1) }
	}
	if err := fleet.Connect(ctx, progress); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%d nodes connected; each registers every %s, half in protocol 1, half in 2\n", d.nodes, d.interval)
	return nil
}

// live lets the nodes register and shows how it goes, until the time is over.
func (d *demo) live(ctx context.Context, a *appliance.Appliance, fleet *simnode.Fleet) error {
	running, stop := context.WithCancel(ctx)
	if d.length > 0 {
		running, stop = context.WithTimeout(ctx, d.length)
	}
	defer stop()
	registered := make(chan error, 1)
	go func() { registered <- fleet.Register(running) }()
	var chaos sync.WaitGroup
	if d.chaos {
		chaos.Go(func() { fleet.Chaos(running) })
	}
	defer chaos.Wait()
	line := d.newLedgerLine(a)
	ticker := time.NewTicker(line.interval)
	defer ticker.Stop()
	for {
		select {
		case err := <-registered:
			line.finish()
			return err
		case now := <-ticker.C:
			line.show(now)
		}
	}
}

// settle holds the ledger against what the nodes sent.
func (d *demo) settle(s adapter.Stats, sent, failed uint64) error {
	fmt.Fprintf(d.out, "\nledger: %d received = %d stored + %d duplicate + %d rejected + %d dropped + %d pending\n",
		s.Received, s.Stored, s.Duplicate, s.AllRejected(), s.AllDropped(), s.Pending)
	fmt.Fprintf(d.out, "nodes:  %d sent, %d not sent for want of a connection\n", sent, failed)
	if s.Received != sent || !s.Balanced() || s.Pending > 0 {
		fmt.Fprintln(d.out, "the ledger does NOT balance: messages are unaccounted for")
		return silentError{statusFailed}
	}
	fmt.Fprintln(d.out, "the ledger balances: every message that was sent is accounted for")
	return nil
}

// total is the ledger of the only adapter of the lab.
func total(a *appliance.Appliance) adapter.Stats {
	for _, s := range a.Stats() {
		return s
	}
	return adapter.Stats{}
}

func (d *demo) printAddresses(a *appliance.Appliance) {
	fmt.Fprintf(d.out, `A lab is running: its data is temporary and goes with it.

  nodes connect to   nats://%[1]s
  metrics            http://%[2]s/metrics
  readiness          http://%[2]s/readyz
  the NATS server    http://%[2]s/varz /connz /jsz

While it runs, try in another terminal:

  %[3]s status --server http://%[2]s
  %[3]s nodes --where os.name=Debian --server http://%[2]s
  %[3]s events --follow --server http://%[2]s
  curl http://%[2]s/metrics | grep muster_adapter
  nats --server %[4]s stream view CHORIA_REGISTRATION

`, a.BrokerAddress(), a.ConsoleAddress(), commandName(), d.natsServer(a))
}

// natsServer is how the nats command reaches the broker and may read what is stored.
func (d *demo) natsServer(a *appliance.Appliance) string {
	if !d.tls {
		return a.BrokerAddress()
	}
	return fmt.Sprintf(`tls://%[1]s --tlsca %[2]s/site/ca.pem --token "$(cat %[2]s/admin.token)"`, a.BrokerAddress(), a.DataDir())
}

// commandName is how this program was started, for a command that can be copied.
func commandName() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ."
	}
	return os.Args[0]
}
