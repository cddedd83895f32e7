package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/spf13/cobra"
)

// statusCommand is the status command.
type statusCommand struct{ consoleCommand }

// overview is what status shows, gathered from several endpoints.
type overview struct {
	Name        string                       `json:"name"`
	Version     string                       `json:"version"`
	Started     time.Time                    `json:"started"`
	Ready       bool                         `json:"ready"`
	Reasons     []console.Reason             `json:"reasons"` // why it is not ready
	Warnings    []console.Reason             `json:"warnings"`
	Connections int                          `json:"connections"` // all; those that have not authenticated, too
	Kinds       map[string]int               `json:"connections_by_kind"`
	Memory      uint64                       `json:"memory_bytes"` // resident; 0: unknown
	Storage     storage                      `json:"storage"`
	Nodes       *nodeCounts                  `json:"nodes,omitempty"`            // nil: the fleet view is disabled
	Adapters    map[string]map[string]uint64 `json:"adapters"`                   // ledger of each adapter, by term
	Refused     uint64                       `json:"refused"`                    // connections, since the start
	Certificate *float64                     `json:"certificate_days,omitempty"` // until it expires; nil: no TLS
	Changes     []string                     `json:"not_as_declared"`            // of streams
	Sites       *siteCounts                  `json:"sites,omitempty"`            // nil: no site forwards to it
	Forward     []forward.Status             `json:"forward"`                    // hubs; empty: it is not an edge
	Leafnodes   []console.Leafnode           `json:"leafnodes"`                  // links to brokers of other sites
}

// storage is the disk space of the streams, in bytes.
type storage struct {
	Used uint64 `json:"used_bytes"`
	Max  uint64 `json:"max_bytes"`
}

type nodeCounts struct {
	All    int                 `json:"all"`
	States map[fleet.State]int `json:"states"`

	Conflicts []string `json:"conflicts"` // identities that two nodes use
}

func (p *program) statusCommand() *cobra.Command {
	c := &statusCommand{consoleCommand{program: p}}
	cmd := c.newQuery("status", "Show the state of a running appliance on one screen",
		"  muster status\n  muster status --json", cobra.NoArgs, c.run)
	cmd.Long = `Show the state of a running appliance on one screen. The exit status is 0 whenever the
appliance answers, also when it is not ready; for monitoring use muster check health.`
	return cmd
}

func (c *statusCommand) run(ctx context.Context, _ []string) error {
	client, err := c.connect()
	if err != nil {
		return err
	}
	var o overview
	for _, add := range []func(context.Context, *apiclient.Client) error{
		o.addReadiness, o.addServer, o.addNodes, o.addSites, o.addMetrics, o.addStreams, o.addForward,
		o.addLeafnodes,
	} {
		if err := add(ctx, client); err != nil {
			return err
		}
	}
	if c.asJSON {
		return c.printJSON(o)
	}
	readiness := "NOT READY"
	if o.Ready {
		readiness = "ready"
	}
	return c.printTable([]string{o.Name, readiness}, o.rows())
}

func (o *overview) addReadiness(ctx context.Context, client *apiclient.Client) error {
	r, err := client.Ready(ctx)
	o.Ready, o.Reasons, o.Warnings = r.Ready, r.Reasons, append([]console.Reason{}, r.Warnings...)
	return err
}

func (o *overview) addServer(ctx context.Context, client *apiclient.Client) error {
	s, err := client.Server(ctx)
	o.Name, o.Started, o.Connections = s.Name, s.Start, s.Connections
	o.Storage = storage{s.JetStream.Stats.Storage, s.JetStream.Config.MaxStorage}
	return err
}

func (o *overview) addNodes(ctx context.Context, client *apiclient.Client) error {
	summary, err := client.Fleet(ctx)
	switch {
	case apiclient.HasCode(err, console.CodeFleetDisabled):
		return nil
	case err != nil:
		return err
	}
	o.Nodes = &nodeCounts{summary.Nodes, summary.States, append([]string{}, summary.Conflicts...)}
	return nil
}

func (o *overview) addMetrics(ctx context.Context, client *apiclient.Client) error {
	metrics, err := client.Metrics(ctx)
	if err != nil {
		return err
	}
	o.Adapters = ledgers(metrics)
	o.Version = metrics.Label("muster_build_info", "version")
	o.Kinds = map[string]int{}
	for kind, n := range metrics.SumBy("muster_broker_connections", "kind") {
		o.Kinds[kind] = int(n)
	}
	o.Memory = uint64(metrics.Sum("process_resident_memory_bytes"))
	o.Refused = uint64(metrics.Sum("muster_broker_refused_total"))
	if days, ok := minCertificateDays(metrics); ok {
		o.Certificate = &days
	}
	return nil
}

func (o *overview) addStreams(ctx context.Context, client *apiclient.Client) error {
	streams, err := client.Streams(ctx)
	if err != nil && o.Ready {
		return err // an appliance that is not ready gives the reason already
	}
	o.Changes = []string{}
	for _, change := range streams.Changes {
		o.Changes = append(o.Changes, change.String())
	}
	if streams.Overlap != "" {
		o.Changes = append(o.Changes, streams.Overlap)
	}
	return nil
}

func (o *overview) addSites(ctx context.Context, client *apiclient.Client) (err error) {
	sites, err := allSites(ctx, client)
	if len(sites) > 1 {
		o.Sites = countSites(sites)
	}
	return err
}

func (o *overview) addForward(ctx context.Context, client *apiclient.Client) (err error) {
	o.Forward, err = hubs(ctx, client)
	return err
}

func (o *overview) addLeafnodes(ctx context.Context, client *apiclient.Client) (err error) {
	o.Leafnodes, err = leafnodes(ctx, client)
	return err
}

// connectionKinds are the kinds of connections, and what each is called in a list. Those that few appliances have are
// optional: they are left out if there are none.
var connectionKinds = []struct {
	kind, plural string
	optional     bool
}{
	{"node", "nodes", false}, {"client", "clients", false}, {"admin", "administrators", false}, {"edge", "edges", true},
	{"provisioning", "in provisioning", true}, {"provisioner", "provisioners", true},
	{"leafnode", "leaf nodes", true}, {"internal", "internal", false},
}

// connections returns how many connections are open, of which kinds.
func (o *overview) connections() string {
	var kinds []string
	for _, k := range connectionKinds {
		if n, known := o.Kinds[k.kind]; known && (n > 0 || !k.optional) {
			kinds = append(kinds, count(uint64(n))+" "+k.plural)
		}
	}
	if len(kinds) == 0 { // an older appliance
		return count(uint64(o.Connections))
	}
	return fmt.Sprintf("%s: %s", count(uint64(o.Connections)), strings.Join(kinds, ", "))
}

func (o *overview) rows() (rows [][]string) {
	row := func(name, format string, values ...any) {
		rows = append(rows, []string{name, fmt.Sprintf(format, values...)})
	}
	for _, r := range slices.Concat(o.Reasons, o.Warnings) {
		row(r.Code, "%s: %s", r.What, r.Detail)
	}
	row("version", "%s, started %s", o.Version, ago(o.Started))
	if o.Nodes == nil {
		row("nodes", "the fleet view is disabled: fleet.enabled is false")
	} else {
		row("nodes", "%s", nodesText(o.Nodes.All, o.Nodes.States))
		if len(o.Nodes.Conflicts) > 0 {
			row("conflict", "%s; see muster node", conflictText(o.Nodes.Conflicts))
		}
	}
	if o.Sites != nil {
		row("sites", "%s; see muster sites", o.Sites)
	}
	row("connections", "%s; %s refused", o.connections(), count(o.Refused))
	rows = append(rows, o.ledgerRows()...)
	for _, l := range o.Leafnodes {
		row("leaf node "+l.Name, "%s", leafnodeText(l))
	}
	row("storage", "%s of %s", humanize.IBytes(o.Storage.Used), humanize.IBytes(o.Storage.Max))
	if o.Memory > 0 {
		row("memory", "%s", humanize.IBytes(o.Memory))
	}
	if o.Certificate != nil {
		row("certificate", "expires in %d days", int(*o.Certificate))
	}
	for _, change := range o.Changes {
		row("not as declared", "%s", change)
	}
	return rows
}

// ledgerRows returns the ledgers of the adapters, and of the streams that are forwarded.
func (o *overview) ledgerRows() (rows [][]string) {
	for _, name := range slices.Sorted(maps.Keys(o.Adapters)) {
		var terms []string
		for _, m := range ledgerMetrics {
			terms = append(terms, count(o.Adapters[name][m.term])+" "+m.term)
		}
		rows = append(rows, []string{"adapter " + name, strings.Join(terms, ", ")})
	}
	for _, hub := range o.Forward {
		rows = append(rows, hubRows(hub)...)
	}
	return rows
}
