package fleet

import "github.com/prometheus/client_golang/prometheus"

// Collector shows the view as metrics, of one moment for each scrape.
func (f *Fleet) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("muster_fleet_"+name, help, labels, nil)
	}
	return &collector{
		summary: f.Summary,
		nodes:   desc("nodes", "Nodes by state.", "state"),
		stored:  desc("events_stored_total", "Changes of nodes and sites whose event was stored."),
		dropped: desc("events_dropped_total", "Changes whose event is lost, because the stream took none for too long."),
		waiting: desc("events_waiting", "Events that wait to be stored."),
		storms:  desc("storms", "Sites of which many nodes have gone at once."),
	}
}

type collector struct {
	summary                                 func() Summary
	nodes, stored, dropped, waiting, storms *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.summary()
	for _, state := range States {
		ch <- prometheus.MustNewConstMetric(c.nodes, prometheus.GaugeValue, float64(s.States[state]), string(state))
	}
	ch <- prometheus.MustNewConstMetric(c.stored, prometheus.CounterValue, float64(s.Events.Stored))
	ch <- prometheus.MustNewConstMetric(c.dropped, prometheus.CounterValue, float64(s.Events.Dropped))
	ch <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(s.Events.Waiting))
	ch <- prometheus.MustNewConstMetric(c.storms, prometheus.GaugeValue, float64(len(s.Storms)))
}
