package cli

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/host"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/tlsfile"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// demo runs a lab with simulated nodes.
type demo struct {
	*program
	nodes    int
	interval time.Duration // between two registrations of a node
	duration time.Duration // 0: until the context is done
	tls      bool
	chaos    bool // nodes disconnect and reconnect at random
	sites    int  // that forward to a hub; 0: there is no hub
	terminal bool // standard output is a terminal

	provision bool // nodes get their tokens from a provisioner
}

func (p *program) demoCommand() *cobra.Command {
	d := &demo{program: p, terminal: isTerminal(p.out)}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a lab with simulated nodes that register over real connections",
		Long: `Run an appliance on loopback with its data in a temporary directory, and simulated nodes
that connect over TCP and register their facts: half of them with version 1 of Choria's
protocol, half with version 2. At the end, compare the appliance's ledger with what the
nodes sent. The exit status is 1 if one message is unaccounted for.

With --provision, nodes have no identity when they start. They connect with a provisioning token,
and a small provisioner has each make a key and gives it a token, as Choria's provisioner does.

With --sites, run a hub and an appliance at each site, its edge: the nodes register with the edge of
their site, which forwards to the hub.`,
		Example: `  muster demo --sites 3 --chaos
  muster demo --provision --nodes 1000 --interval 10s --for 1m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	cmd.Flags().IntVar(&d.nodes, "nodes", 200, "number of simulated nodes, 1 to 15000")
	cmd.Flags().DurationVar(&d.interval, "interval", 5*time.Second,
		"time between two registrations of a node, at least 10ms")
	cmd.Flags().DurationVar(&d.duration, "for", 0, "how long to run, such as 1m; 0: until Ctrl-C")
	cmd.Flags().BoolVar(&d.tls, "tls", false, "use TLS: give nodes certificates and tokens, and verify every signature")
	cmd.Flags().BoolVar(&d.chaos, "chaos", false,
		"stop and disconnect nodes at random, and let them return; with --sites, also cut links to the hub")
	cmd.Flags().IntVar(&d.sites, "sites", 0, "number of sites, each with an edge that forwards to a hub; 0: no hub")
	cmd.Flags().BoolVar(&d.provision, "provision", false,
		"use TLS, and let a provisioner give each node its token while the demo runs")
	return cmd
}

// validate checks the flags.
func (d *demo) validate() error {
	switch {
	case d.nodes < 1 || d.nodes > 15000:
		return usageError{fmt.Errorf("--nodes %d is not between 1 and 15000; each node is a connection of this process",
			d.nodes)}
	case d.interval < 10*time.Millisecond:
		return usageError{fmt.Errorf("--interval %s is less than 10ms", d.interval)}
	case d.sites < 0 || d.sites > maxSites:
		return usageError{fmt.Errorf("--sites %d is not between 0 and %d", d.sites, maxSites)}
	case d.nodes < d.sites:
		return usageError{fmt.Errorf("--nodes %d is less than one for each of %d sites", d.nodes, d.sites)}
	case d.sites > 0 && d.tls:
		return usageError{errors.New("--tls and --sites cannot be used together")}
	case d.provision && d.sites > 0:
		return usageError{errors.New("--provision and --sites cannot be used together")}
	case d.provision && d.tls:
		return usageError{errors.New("--provision and --tls cannot be used together; --provision uses TLS, too")}
	case d.duration < 0:
		return usageError{fmt.Errorf("--for %s is negative; give 0 or more", d.duration)}
	}
	return nil
}

func (d *demo) run(ctx context.Context) error {
	if err := d.validate(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "muster-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if d.sites > 0 {
		return d.runSites(ctx, dir)
	}
	cfg := d.labConfig(dir)
	var o simnode.NodeOptions
	if d.tls || d.provision {
		o, err = enableTLS(cfg)
	}
	if err != nil {
		return err
	}
	if d.provision {
		d.enableProvisioning(cfg, &o)
	}
	return d.runWith(ctx, cfg, o)
}

// runWith runs the lab with such nodes, and compares its ledger with what the nodes sent.
func (d *demo) runWith(ctx context.Context, cfg *appliance.Config, o simnode.NodeOptions) error {
	a := appliance.New(cfg, appliance.Options{Version: version(), Log: d.newLog(cfg.Log)})
	if err := a.Open(ctx); err != nil {
		return err
	}
	defer func() { _ = a.Close(context.Background()) }() // the error of the first Close is returned
	nodes, err := simnode.NewNodes("nats://"+a.BrokerAddress(), d.nodes, o, d.interval)
	if err != nil {
		return err
	}
	defer nodes.Close()
	d.printAddresses(a)
	if d.provision {
		err = d.provisionNodes(ctx, a, o.Site, cfg.Broker.Provisioning.ClientPassword, nodes)
	} else {
		err = d.connect(ctx, nodes)
	}
	if err != nil {
		if ctx.Err() != nil { // asked to end before all nodes were connected
			return nil
		}
		return err
	}
	if err := d.register(ctx, a, nodes); err != nil {
		return err
	}
	nodes.Close()
	if err := a.Close(context.Background()); err != nil {
		return err
	}
	return d.printLedger(total(a), nodes.Sent(), nodes.Failed())
}

// labConfig returns the configuration of the lab: free ports, no log lines below warnings, and
// states of nodes that follow the interval of their registrations.
func (d *demo) labConfig(dir string) *appliance.Config {
	cfg, _ := appliance.Parse("", nil) // the defaults are valid
	cfg.DataDir = dir
	cfg.Log.Level = "warn"
	cfg.Broker.Listen = host.FreeAddress(cfg.Broker.ListenAddress())
	cfg.Console.Listen = host.FreeAddress(cfg.Console.Listen)
	cfg.Fleet.LateAfter = 2*d.interval + 5*time.Second
	cfg.Fleet.DownAfter = 2 * cfg.Fleet.LateAfter
	cfg.Fleet.DisconnectGrace = 5 * time.Second
	cfg.Fleet.Index = []string{"os.name", "role", "processors.count"}
	return cfg
}

// enableTLS makes a CA, an organization issuer and a certificate for the lab's broker. The result
// makes simulated nodes that authenticate with certificates and tokens.
func enableTLS(cfg *appliance.Config) (simnode.NodeOptions, error) {
	options := enroll.Options{Dir: filepath.Join(cfg.DataDir, "site"), Name: "127.0.0.1", Issuer: true}
	site, err := enroll.Init(options, time.Now())
	if err != nil {
		return simnode.NodeOptions{}, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return simnode.NodeOptions{}, err
	}
	issuer, err := choria.PublicKey(site.IssuerKey())
	if err != nil {
		return simnode.NodeOptions{}, err
	}
	files := site.Files()
	cfg.Broker.TLS = tlsfile.Files{Cert: files.Cert, Key: files.Key, CA: files.CA}
	cfg.Broker.Issuers = choria.Issuers{"choria": issuer}
	return simnode.NodeOptions{Site: site, RSA: key}, nil
}

// connect connects the nodes, with a progress bar on a terminal.
func (d *demo) connect(ctx context.Context, nodes *simnode.Nodes) error {
	progress := func() {}
	if d.terminal {
		bar := progressbar.NewOptions(d.nodes, progressbar.OptionSetWriter(d.out), progressbar.OptionShowCount(),
			progressbar.OptionSetDescription("connecting nodes"), progressbar.OptionSetWidth(40),
			progressbar.OptionClearOnFinish())
		progress = func() { _ = bar.Add(1) }
	}
	if err := nodes.Connect(ctx, progress); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%d nodes connected; each registers every %s, half with protocol 1, half with 2\n",
		d.nodes, d.interval)
	return nil
}

// register lets the nodes register and shows the ledger, until d.duration has passed or ctx is done.
func (d *demo) register(ctx context.Context, a *appliance.Appliance, nodes *simnode.Nodes) error {
	running, stop := d.until(ctx)
	defer stop()
	registered := make(chan error, 1)
	go func() { registered <- nodes.Register(running) }()
	var chaos sync.WaitGroup
	if d.chaos {
		chaos.Go(func() { nodes.DisconnectAtRandom(running) })
	}
	defer chaos.Wait()
	stats := func() adapter.Stats { return total(a) }
	return d.newLedgerLine(stats, a.States, func() string { return "" }).until(registered)
}

// until returns a context that is done when the nodes must stop.
func (d *demo) until(ctx context.Context) (running context.Context, stop context.CancelFunc) {
	if d.duration > 0 {
		return context.WithTimeout(ctx, d.duration)
	}
	return context.WithCancel(ctx)
}

// printLedger prints the ledger. The exit status is 1 if it does not account for every message that
// the nodes sent.
func (d *demo) printLedger(s adapter.Stats, sent, failed uint64) error {
	fmt.Fprintf(d.out, "\nledger: %d received = %d stored + %d duplicate + %d rejected + %d dropped + %d pending\n",
		s.Received, s.Stored, s.Duplicate, s.AllRejected(), s.AllDropped(), s.Pending)
	fmt.Fprintf(d.out, "nodes:  %d sent, %d not sent because they were disconnected\n", sent, failed)
	if s.Received != sent || !s.Balanced() || s.Pending > 0 {
		fmt.Fprintln(d.out, "the ledger does NOT balance: messages are unaccounted for")
		return silentError{statusFailed}
	}
	fmt.Fprintln(d.out, "the ledger balances: every message that was sent is accounted for")
	return nil
}

// total returns the ledger of the lab's only adapter.
func total(a *appliance.Appliance) adapter.Stats {
	for _, s := range a.Stats() {
		return s
	}
	return adapter.Stats{}
}

func (d *demo) printAddresses(a *appliance.Appliance) {
	fmt.Fprintf(d.out, `A lab is running. Its data is temporary and is removed when it ends.

  nodes connect to   nats://%[1]s
  metrics            http://%[2]s/metrics
  readiness          http://%[2]s/readyz
  the NATS server    http://%[2]s/varz /connz /jsz

Try these commands in another terminal:

  %[3]s status --server http://%[2]s
  %[3]s nodes --where os.name=Debian --server http://%[2]s
  %[3]s events --follow --server http://%[2]s
  curl http://%[2]s/metrics | grep muster_adapter
  nats --server %[4]s stream view CHORIA_REGISTRATION

`, a.BrokerAddress(), a.ConsoleAddress(), commandName(), d.natsServer(a))
}

// natsServer returns the arguments of the nats command that connect to the broker as administrator.
func (d *demo) natsServer(a *appliance.Appliance) string {
	if !d.tls && !d.provision {
		return a.BrokerAddress()
	}
	return fmt.Sprintf(`tls://%[1]s --tlsca %[2]s/site/ca.pem --token "$(cat %[2]s/admin.token)"`,
		a.BrokerAddress(), a.DataDir())
}

// commandName returns how this program was started, for commands that the user can copy.
func commandName() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ."
	}
	return os.Args[0]
}
