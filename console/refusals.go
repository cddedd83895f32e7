package console

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/throttle"
	"github.com/prometheus/client_golang/prometheus"
)

// Why the console refuses a connection or a request, beside the codes of API errors.
const (
	reasonConnections        = "max-connections"
	reasonAddressConnections = "max-connections-per-address"
)

const (
	// refusalInterval is the minimum time between two log lines of one reason.
	refusalInterval = time.Minute
	// maxLoggedName is how many bytes of a requested host are logged.
	maxLoggedName = 128
)

// refusals counts what the console refuses, by reason, and logs it.
type refusals struct {
	log      hclog.Logger
	now      func() time.Time
	throttle *throttle.Throttle // by reason

	mu     sync.Mutex
	counts map[string]uint64 // by reason
}

func newRefusals(log hclog.Logger, now func() time.Time) *refusals {
	r := &refusals{log: log, now: now, throttle: throttle.New(refusalInterval), counts: map[string]uint64{}}
	for _, reason := range []string{reasonConnections, reasonAddressConnections, CodeUnknownHost, CodeUnauthorized} {
		r.counts[reason] = 0 // the metric shows zeros too
	}
	return r
}

// record counts a refusal, and logs it unless its reason was logged within refusalInterval. host is
// the one that the request is for; empty if there was no request.
func (r *refusals) record(reason string, address netip.Addr, host string) {
	r.mu.Lock()
	r.counts[reason]++
	r.mu.Unlock()
	if count, log := r.throttle.Add(reason, 1, r.now()); log {
		r.log.Warn("console refused a client",
			"reason", reason, "address", address, "name", host[:min(len(host), maxLoggedName)], "count", count)
	}
}

// snapshot returns how much was refused so far, by reason.
func (r *refusals) snapshot() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// Collector returns the console's metrics.
func (c *Console) Collector() prometheus.Collector {
	return &collector{
		console: c,
		connections: prometheus.NewDesc("muster_console_connections",
			"Connections to the console that are open.", nil, nil),
		refused: prometheus.NewDesc("muster_console_refused_total",
			"Connections and requests that the console refused, by reason.", []string{"reason"}, nil),
	}
}

// collector collects muster_console_ metrics.
type collector struct {
	console              *Console
	connections, refused *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for reason, n := range c.console.refusals.snapshot() {
		ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(n), reason)
	}
	if l := c.console.limiter; l != nil {
		ch <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(l.connections()))
	}
}
