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
	dto "github.com/prometheus/client_model/go"
	"github.com/spf13/cobra"
)

// overview is what status shows, gathered from the console's pages.
type overview struct {
	Name        string                       `json:"name"`
	Version     string                       `json:"version"`
	Started     time.Time                    `json:"started"`
	Ready       bool                         `json:"ready"`
	Reasons     []console.Reason             `json:"reasons"`
	Connections int                          `json:"connections"`
	Memory      uint64                       `json:"memory_bytes"`
	Storage     storage                      `json:"storage"`
	Nodes       *nodeCounts                  `json:"nodes,omitempty"` // where somebody watches them
	Adapters    map[string]map[string]uint64 `json:"adapters"`        // the ledger of each
	Refused     uint64                       `json:"refused"`         // connections
	Certificate *float64                     `json:"certificate_days,omitempty"`
	Changes     []string                     `json:"not_as_declared"` // streams
}

// storage is what the streams take of the disk, in bytes.
type storage struct {
	Used uint64 `json:"used_bytes"`
	Most uint64 `json:"max_bytes"`
}

type nodeCounts struct {
	All    int                 `json:"all"`
	States map[fleet.State]int `json:"states"`
}

// ledgerMetrics are the terms of an adapter's ledger, in its order.
var ledgerMetrics = []struct{ term, metric string }{
	{"received", "muster_adapter_received_total"},
	{"stored", "muster_adapter_stored_total"},
	{"duplicate", "muster_adapter_duplicate_total"},
	{"rejected", "muster_adapter_rejected_total"},
	{"dropped", "muster_adapter_dropped_total"},
	{"pending", "muster_adapter_pending"},
}

func (p *program) statusCommand() *cobra.Command {
	a := &asker{program: p}
	cmd := a.asking("status", "Show how a running appliance is, on one screen",
		"  muster status\n  muster status --json", cobra.NoArgs, a.status)
	cmd.Long = `Show how a running appliance is, on one screen. It judges nothing and its exit status is
0 whenever it could look; for monitoring there is muster check health.`
	return cmd
}

func (a *asker) status(ctx context.Context, _ []string) error {
	var o overview
	for _, look := range []func(context.Context, *overview) error{a.lookReady, a.lookServer, a.lookNodes, a.lookMetrics, a.lookStreams} {
		if err := look(ctx, &o); err != nil {
			return err
		}
	}
	if a.asJSON {
		return a.printJSON(o)
	}
	return a.printTable([]string{o.Name, o.readiness()}, o.rows())
}

func (a *asker) lookReady(ctx context.Context, o *overview) (err error) {
	o.Ready, o.Reasons, err = a.readiness(ctx)
	return err
}

func (a *asker) lookServer(ctx context.Context, o *overview) error {
	var varz struct {
		Name        string    `json:"server_name"`
		Start       time.Time `json:"start"`
		Connections int       `json:"connections"`
		JetStream   struct {
			Config struct {
				MaxStorage uint64 `json:"max_storage"`
			} `json:"config"`
			Stats struct {
				Storage uint64 `json:"storage"`
			} `json:"stats"`
		} `json:"jetstream"`
	}
	err := a.ask(ctx, "/varz", &varz)
	o.Name, o.Started, o.Connections = varz.Name, varz.Start, varz.Connections
	o.Storage = storage{varz.JetStream.Stats.Storage, varz.JetStream.Config.MaxStorage}
	return err
}

func (a *asker) lookNodes(ctx context.Context, o *overview) error {
	var s fleet.Summary
	err := a.ask(ctx, "/api/v1/fleet", &s)
	switch {
	case err == nil:
		o.Nodes = &nodeCounts{s.Nodes, s.States}
	case err.Error() == console.FleetDisabled:
		return nil
	}
	return err
}

func (a *asker) lookMetrics(ctx context.Context, o *overview) error {
	families, err := a.metrics(ctx)
	if err != nil {
		return err
	}
	o.Adapters = map[string]map[string]uint64{}
	for _, l := range ledgerMetrics {
		for _, m := range families[l.metric].GetMetric() {
			name := label(m, "adapter")
			if o.Adapters[name] == nil {
				o.Adapters[name] = map[string]uint64{}
			}
			o.Adapters[name][l.term] += uint64(m.GetCounter().GetValue() + m.GetGauge().GetValue())
		}
	}
	for _, m := range families["muster_build_info"].GetMetric() {
		o.Version = label(m, "version")
	}
	for _, m := range families["process_resident_memory_bytes"].GetMetric() {
		o.Memory = uint64(m.GetGauge().GetValue())
	}
	o.Refused = uint64(sum(families["muster_broker_refused_total"]))
	o.Certificate = certificate(families)
	return nil
}

func (a *asker) lookStreams(ctx context.Context, o *overview) error {
	var streams console.Streams
	if err := a.ask(ctx, "/api/v1/streams", &streams); err != nil && o.Ready {
		return err // otherwise the reasons say it
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

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func (o *overview) readiness() string {
	if o.Ready {
		return "ready"
	}
	return "NOT READY"
}

func (o *overview) rows() (rows [][]string) {
	row := func(name, format string, values ...any) {
		rows = append(rows, []string{name, fmt.Sprintf(format, values...)})
	}
	for _, r := range o.Reasons {
		row(r.Code, "%s: %s", r.What, r.Detail)
	}
	row("version", "%s, started %s", o.Version, ago(o.Started))
	if o.Nodes == nil {
		row("nodes", console.FleetDisabled)
	} else {
		var states []string
		for _, state := range fleet.States {
			states = append(states, count(uint64(o.Nodes.States[state]))+" "+string(state))
		}
		row("nodes", "%s: %s", count(uint64(o.Nodes.All)), strings.Join(states, ", "))
	}
	row("connections", "%s, %s refused", count(uint64(o.Connections)), count(o.Refused))
	for _, name := range slices.Sorted(maps.Keys(o.Adapters)) {
		var terms []string
		for _, l := range ledgerMetrics {
			terms = append(terms, count(o.Adapters[name][l.term])+" "+l.term)
		}
		row("adapter "+name, "%s", strings.Join(terms, ", "))
	}
	row("storage", "%s of %s", humanize.IBytes(o.Storage.Used), humanize.IBytes(o.Storage.Most))
	if o.Memory > 0 { // the appliance knows
		row("memory", "%s", humanize.IBytes(o.Memory))
	}
	if o.Certificate != nil {
		row("certificate", "for %d more days", int(*o.Certificate))
	}
	for _, change := range o.Changes {
		row("not as declared", "%s", change)
	}
	return rows
}
