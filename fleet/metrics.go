package fleet

import "github.com/prometheus/client_golang/prometheus"

// Collector returns the metrics of the view. Each scrape reads one Summary, so its numbers are
// of the same moment.
func (f *Fleet) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("muster_fleet_"+name, help, labels, nil)
	}
	return &collector{
		sites:     newSiteMetrics(f.Sites),
		summary:   f.Summary,
		nodes:     desc("nodes", "Nodes by state.", "state"),
		stored:    desc("events_stored_total", "Events of nodes and sites that were stored."),
		dropped:   desc("events_dropped_total", "Events dropped because the stream did not store them in time."),
		waiting:   desc("events_waiting", "Events that wait to be stored."),
		conflicts: desc("conflicts", "Identities that two nodes use."),
		storms:    desc("storms", "Sites of which many nodes went down at once."),

		omitted: f.omitted.Load,
		beyond: desc("index_omitted_total",
			"Facts, classes, agents and collectives that were not indexed, because they exceed a limit."),

		skipped: f.skippedFacts.Load,
		unread: desc("index_skipped_total",
			"Registrations whose facts were not read, because the index had used up its processor time."),

		ignored: f.ignored.Load,
		ignoredShutdowns: desc("shutdown_events_ignored_total",
			"Shutdown events that another connection than the node's own has published."),

		reconciled: f.reconciled.Load,
		differences: desc("reconciled_total",
			"Connections of which the view had missed the beginning or the end, and the broker's list had it."),
	}
}

type collector struct {
	summary                                            func() Summary
	nodes, stored, dropped, waiting, storms, conflicts *prometheus.Desc

	omitted func() uint64
	beyond  *prometheus.Desc

	skipped func() uint64
	unread  *prometheus.Desc

	ignored          func() uint64
	ignoredShutdowns *prometheus.Desc

	reconciled  func() uint64
	differences *prometheus.Desc

	sites *siteMetrics
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, ch)
	c.sites.describe(ch)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.summary()
	constant := prometheus.MustNewConstMetric
	for _, state := range States {
		ch <- constant(c.nodes, prometheus.GaugeValue, float64(s.States[state]), string(state))
	}
	ch <- constant(c.stored, prometheus.CounterValue, float64(s.Events.Stored))
	ch <- constant(c.dropped, prometheus.CounterValue, float64(s.Events.Dropped))
	ch <- constant(c.waiting, prometheus.GaugeValue, float64(s.Events.Waiting))
	ch <- constant(c.storms, prometheus.GaugeValue, float64(len(s.Storms)))
	ch <- constant(c.conflicts, prometheus.GaugeValue, float64(len(s.Conflicts)))
	ch <- constant(c.unread, prometheus.CounterValue, float64(c.skipped()))
	ch <- constant(c.beyond, prometheus.CounterValue, float64(c.omitted()))
	ch <- constant(c.ignoredShutdowns, prometheus.CounterValue, float64(c.ignored()))
	ch <- constant(c.differences, prometheus.CounterValue, float64(c.reconciled()))
	c.sites.collect(ch)
}
