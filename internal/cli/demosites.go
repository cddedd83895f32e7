package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/simnode"
)

const (
	maxSites = 20
	// demoHeartbeat is how often an edge of the demo tells the hub about its site.
	demoHeartbeat = 5 * time.Second
	// drainTimeout is how long the edges may take to forward what they have when the demo ends.
	drainTimeout = 30 * time.Second

	// cutInterval is the average time between two cuts of links.
	cutInterval = 30 * time.Second
	// minCut and maxCut bound how long a link is cut.
	minCut = 10 * time.Second
	maxCut = 40 * time.Second
)

// demoSite is a site of the demo: its edge, the edge's link to the hub, and its nodes.
type demoSite struct {
	name  string
	edge  *appliance.Appliance
	link  *relay
	nodes *simnode.Nodes
}

// siteDemo is a lab with a hub and the edges of sites.
type siteDemo struct {
	*demo
	hub   *appliance.Appliance
	sites []*demoSite
}

// demoSiteNames returns the names of the sites of the demo.
func demoSiteNames(count int) []string {
	names := []string{"ams", "fra", "lhr", "nyc", "sin", "syd"}
	for i := len(names); i < count; i++ {
		names = append(names, fmt.Sprintf("site%d", i+1))
	}
	return names[:count]
}

// edgeName returns the identity of the edge of a site.
func edgeName(site string) string { return "collector1." + site + ".example.net" }

// runSites runs the lab with a hub and edges, and compares their ledgers with what the nodes sent.
func (d *demo) runSites(ctx context.Context, dir string) error {
	s := &siteDemo{demo: d}
	defer func() { _ = s.close() }() // the error of the first close is returned
	if err := s.open(ctx, dir); err != nil {
		return err
	}
	s.printSites()
	for _, site := range s.sites {
		if err := site.nodes.Connect(ctx, func() {}); err != nil {
			if ctx.Err() != nil { // asked to end before all nodes were connected
				return nil
			}
			return err
		}
	}
	fmt.Fprintf(d.out, "%d nodes of %d sites connected; each registers every %s\n", d.nodes, d.sites, d.interval)
	if err := s.register(ctx); err != nil {
		return err
	}
	return s.settle()
}

// open starts the hub and the edges, and makes the nodes.
func (s *siteDemo) open(ctx context.Context, dir string) (err error) {
	names := demoSiteNames(s.demo.sites)
	cfg := s.labConfig(filepath.Join(dir, "hub"))
	cfg.Identity, cfg.Site = "hub.example.net", "hub"
	cfg.Broker.Sites = broker.Sites{}
	for _, name := range names {
		cfg.Broker.Sites[name] = edgeName(name)
	}
	if s.hub, err = s.start(ctx, cfg); err != nil {
		return err
	}
	first := 0
	for i, name := range names {
		count := s.demo.nodes / len(names)
		if i < s.demo.nodes%len(names) {
			count++
		}
		if err := s.openSite(ctx, dir, name, first, count); err != nil {
			return fmt.Errorf("site %s: %w", name, err)
		}
		first += count
	}
	return nil
}

func (s *siteDemo) start(ctx context.Context, cfg *appliance.Config) (*appliance.Appliance, error) {
	a := appliance.New(cfg, appliance.Options{Version: version(), Log: s.newLog(cfg.Log).Named(cfg.Site)})
	return a, a.Open(ctx)
}

// openSite starts the edge of a site, and makes its nodes.
func (s *siteDemo) openSite(ctx context.Context, dir, name string, first, count int) (err error) {
	site := &demoSite{name: name}
	s.sites = append(s.sites, site)
	if site.link, err = newRelay(s.hub.BrokerAddress()); err != nil {
		return err
	}
	cfg := s.labConfig(filepath.Join(dir, name))
	cfg.Identity, cfg.Site = edgeName(name), name
	toHub := forward.NewConfig("hub")
	toHub.Servers, toHub.Heartbeat = []string{site.link.url()}, demoHeartbeat
	cfg.Forward = map[string]*forward.Config{toHub.Name: toHub}
	if site.edge, err = s.start(ctx, cfg); err != nil {
		return err
	}
	options := simnode.NodeOptions{Domain: name + ".example.net", First: first}
	site.nodes, err = simnode.NewNodes("nats://"+site.edge.BrokerAddress(), count, options, s.interval)
	return err
}

// close ends what open has started. It may be called twice.
func (s *siteDemo) close() error {
	var errs []error
	for _, site := range s.sites {
		if site.nodes != nil {
			site.nodes.Close()
		}
		if site.edge != nil {
			errs = append(errs, site.edge.Close(context.Background()))
		}
		if site.link != nil {
			site.link.close()
		}
	}
	if s.hub != nil {
		errs = append(errs, s.hub.Close(context.Background()))
	}
	return errors.Join(errs...)
}

// register lets the nodes of all sites register and shows their ledger, until d.duration has passed or ctx is done.
func (s *siteDemo) register(ctx context.Context) error {
	running, stop := s.until(ctx)
	defer stop()
	var nodes, chaos sync.WaitGroup
	errs := make([]error, len(s.sites))
	for i, site := range s.sites {
		nodes.Go(func() { errs[i] = site.nodes.Register(running) })
		if s.chaos {
			chaos.Go(func() { site.nodes.DisconnectAtRandom(running) })
		}
	}
	if s.chaos {
		chaos.Go(func() { s.cutLinks(running) })
	}
	registered := make(chan error, 1)
	go func() { nodes.Wait(); chaos.Wait(); registered <- errors.Join(errs...) }()
	return s.newLedgerLine(s.total, s.states, s.cut).until(registered)
}

// cutLinks cuts the link of a random site from time to time, until ctx is done.
func (s *siteDemo) cutLinks(ctx context.Context) {
	restore := map[*relay]time.Time{} // when
	for {
		select {
		case <-ctx.Done():
			for link := range restore {
				link.restore()
			}
			return
		case <-time.After(time.Second):
		}
		for link, when := range restore {
			if time.Now().After(when) {
				link.restore()
				delete(restore, link)
			}
		}
		link := s.sites[rand.IntN(len(s.sites))].link
		if rand.N(cutInterval) < time.Second && !link.down() {
			link.cut()
			restore[link] = time.Now().Add(minCut + rand.N(maxCut-minCut))
		}
	}
}

// cut returns which links are cut, for the ledger line.
func (s *siteDemo) cut() string {
	var names []string
	for _, site := range s.sites {
		if site.link.down() {
			names = append(names, site.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "  cut off: " + strings.Join(names, " ")
}

// total returns the sum of the ledgers of the edges.
func (s *siteDemo) total() (sum adapter.Stats) {
	sum.Rejected, sum.Dropped = map[string]uint64{}, map[string]uint64{}
	for _, site := range s.sites {
		one := total(site.edge)
		sum.Received += one.Received
		sum.Stored += one.Stored
		sum.Duplicate += one.Duplicate
		sum.Pending += one.Pending
		sum.Rejected["all"] += one.AllRejected()
		sum.Dropped["all"] += one.AllDropped()
	}
	return sum
}

// states returns the numbers of nodes by state that the edges know.
func (s *siteDemo) states() map[fleet.State]int {
	sum := map[fleet.State]int{}
	for _, site := range s.sites {
		for state, count := range site.edge.States() {
			sum[state] += count
		}
	}
	return sum
}
