package appliance

import (
	"time"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/forward"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// registries returns the metrics of /metrics and of /choria/metrics. Both include the process
// metrics, because Choria's endpoint does.
func (a *Appliance) registries() (metrics, choria *prometheus.Registry) {
	metrics, choria = prometheus.NewRegistry(), prometheus.NewRegistry()
	for _, r := range []*prometheus.Registry{metrics, choria} {
		r.MustRegister(collectors.NewGoCollector(),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	metrics.MustRegister(
		adapter.Collector(a.adapters),
		a.broker.Collector(),
		newLostMessages(a.recorder),
		constant("muster_build_info", "The running version.", prometheus.GaugeValue,
			prometheus.Labels{"version": a.opts.Version}),
	)
	metrics.MustRegister(a.clock.metrics()...)
	metrics.MustRegister(a.auditMetrics()...)
	metrics.MustRegister(a.governors.Collectors()...)
	if len(a.forwards) > 0 {
		metrics.MustRegister(forward.Collector(a.forwards))
	}
	if a.fleet != nil {
		metrics.MustRegister(a.fleet.Collector())
	}
	if a.cfg.Console.TLS.Enabled() { // the console serves this scrape, so its certificate is loaded
		metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "muster_console_certificate_days", Help: "Days until the console's certificate expires.",
		}, func() float64 { return time.Until(a.console.Expires()).Hours() / 24 }))
	}
	choria.MustRegister(
		adapter.ChoriaCollector(a.adapters, a.cfg.Identity),
		a.broker.ChoriaCollector(),
		constant("choria_build_info", "Build information about the running server", prometheus.CounterValue,
			prometheus.Labels{"identity": a.cfg.Identity, "sha": a.commit(), "version": a.opts.Version}),
	)
	return metrics, choria
}

// constantMetric is a metric whose value is always 1. Its labels are the information.
type constantMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func constant(name, help string, kind prometheus.ValueType, labels prometheus.Labels) prometheus.Collector {
	return constantMetric{prometheus.NewDesc(name, help, nil, labels), kind}
}

func (c constantMetric) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c constantMetric) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(c.desc, c.kind, 1)
}
