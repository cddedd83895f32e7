package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/nats-io/nats.go"
)

// benchSites is how many sites a large fleet has.
const benchSites = 60

// benchSite returns the name of site n.
func benchSite(n int) string { return fmt.Sprintf("site%02d", n%benchSites) }

// newHubFleet returns the fleet of a hub, not opened, with nodes of benchSites sites.
func newHubFleet(tb testing.TB, nodes int) *Fleet {
	tb.Helper()
	now := time.Unix(1_000_000, 0)
	f := New(DefaultConfig(), Options{
		Site: "hub", Now: func() time.Time { return now }, Log: hclog.NewNullLogger(),
		LastRejected: func(string) (Rejection, bool) { return Rejection{}, false },
		Clock:        func() (time.Time, time.Duration) { return now.Add(time.Minute), 0 },
		SiteEdges: func() map[string]string {
			edges := map[string]string{}
			for n := range benchSites {
				edges[benchSite(n)] = benchSite(n) + ".example.net"
			}
			return edges
		},
	})
	f.registry = newRegistry(f.cfg.Rules(now.Add(time.Minute)), "hub", f.cfg.StormShare, func(*Event) {})
	f.updateSites()
	for n := range nodes {
		e := benchEvent(n)
		e.Site, e.forwarded = benchSite(n), true
		f.withRegistry(func(r *registry, now time.Time) {
			r.applyForwarded(e, position{uint64(n + 1), newSource("i", uint64(n+1))}, now)
		})
	}
	return f
}

// benchEvent returns an event as an edge stores it.
func benchEvent(n int) *Event {
	at := time.Unix(1_000_000, int64(n))
	return &Event{
		Event: eventNew, Node: nodeName(n), To: Up, Site: benchSite(n), Since: at, Received: at, Interval: 300,
		Reason: "registered for the first time", Address: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255),
	}
}

// BenchmarkSites measures a hub with a large fleet of many sites.
func BenchmarkSites(b *testing.B) {
	before := heap()
	f := newHubFleet(b, benchNodes)
	size := float64(heap()-before)/benchNodes - float64(len(nodeName(0)))
	hb := uplink.Heartbeat{
		Site: benchSite(0), Version: "1", Incarnation: "i", Interval: 30,
		Nodes:   map[string]int{"up": benchNodes / benchSites},
		Streams: map[string]uplink.Stream{}, Adapters: map[string]uplink.Ledger{},
	}
	for _, name := range []string{"CHORIA_REGISTRATION", "MUSTER_FLEET", "CHORIA_EVENTS", "CHORIA_MACHINE"} {
		hb.Streams[name], hb.Adapters[name] = uplink.Stream{Mode: "all", Read: 1 << 40}, uplink.Ledger{Received: 1 << 40}
	}
	heartbeat, err := json.Marshal(hb)
	if err != nil {
		b.Fatal(err)
	}
	edge := newIndexedFleet(b, 5000)
	nodes, next := edge.SnapshotPage("", 500)
	for label, do := range map[string]func() (found, want int){
		"heartbeat": func() (int, int) {
			if a := f.handleHeartbeat(hb.Site, heartbeat); a.Error != "" || a.Snapshot {
				b.Fatalf("%+v", a)
			}
			return 0, 0
		},
		"numbers": func() (int, int) { return f.Summary().Nodes, benchNodes },
		"sites":   func() (int, int) { return len(f.Sites()), benchSites + 1 },
		"page":    func() (int, int) { return f.benchPage(b, Query{Limit: 100}), 100 },
		"later page": func() (int, int) {
			return f.benchPage(b, Query{Limit: 100, After: nodeName(benchNodes / 2)}), 100
		},
		"page of 1000": func() (int, int) { return f.benchPage(b, Query{Limit: 1000}), 1000 },
		"page of a site": func() (int, int) {
			return f.benchPage(b, Query{Limit: 100, Sites: []string{benchSite(7)}}), 100
		},
		"state that no node has": func() (int, int) { return f.benchPage(b, Query{Limit: 1, States: []State{Late}}), 0 },
		"latest":                 func() (int, int) { return f.benchPage(b, Query{Limit: 100, Sort: "-since"}), 100 },
		"node":                   func() (int, int) { return len(f.Named(nodeName(benchNodes / 2))), 1 },
		"tick": func() (int, int) {
			f.withRegistry(func(r *registry, now time.Time) { r.tick(now) })
			return 0, 0
		},
		"snapshot of 500": func() (int, int) {
			s := "site59"
			f.withRegistry(func(r *registry, now time.Time) {
				r.remotes[s].snapshot = snapshot{}
				page := uplink.Page{Site: s, ID: "s", Nodes: nodes}
				if err := r.applyPage(&page, now); err != nil {
					b.Fatal(err)
				}
			})
			return len(nodes), 500
		},
		"page for a snapshot": func() (int, int) {
			page, _ := edge.SnapshotPage(next, 500)
			return len(page), 500
		},
	} {
		b.Run(label, func(b *testing.B) {
			for b.Loop() {
				if found, want := do(); found != want {
					b.Fatalf("%d, want %d", found, want)
				}
			}
			b.ReportMetric(size, "heap-B/node")
		})
	}
}

// benchPage returns how many nodes a page has.
func (f *Fleet) benchPage(b *testing.B, q Query) int {
	page, err := f.Nodes(q)
	if err != nil {
		b.Fatal(err)
	}
	return len(page.Nodes)
}

// BenchmarkOpenHub rebuilds the view of a hub from its streams, which have an event of each node of many sites.
func BenchmarkOpenHub(b *testing.B) {
	var sites []string
	for n := range benchSites {
		sites = append(sites, benchSite(n))
	}
	s, edges := newHub(b, sites...)
	var messages []*nats.Msg
	for n := range benchNodes {
		messages = append(messages, edges[n%benchSites].message(benchEvent(n)))
	}
	edges[0].store(messages...)
	before := processorTime(b)
	for b.Loop() {
		f := s.open(DefaultConfig())
		if n := f.Summary().Nodes; n != benchNodes {
			b.Fatalf("%d nodes", n)
		}
		b.StopTimer()
		_ = f.Close(context.Background())
		b.StartTimer()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/open")
	b.ReportMetric((processorTime(b)-before).Seconds()/float64(b.N), "cpu-s/open")
}
