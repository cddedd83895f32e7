package fleet

import "github.com/prometheus/client_golang/prometheus"

// siteMetrics are the metrics of the sites that forward to this appliance.
type siteMetrics struct {
	sites                                                func() []SiteStatus
	up, nodes, age, lagMessages, lagSeconds, corrections *prometheus.Desc
}

func newSiteMetrics(sites func() []SiteStatus) *siteMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("muster_site_"+name, help, append([]string{"site"}, labels...), nil)
	}
	return &siteMetrics{
		sites:       sites,
		up:          desc("up", "1: heartbeats of the site arrive; 0: they do not, or none has yet."),
		nodes:       desc("nodes", "Nodes of the site by state, as they are known here.", "state"),
		age:         desc("heartbeat_age_seconds", "Time since the last heartbeat of the site; none before the first."),
		lagMessages: desc("lag_messages", "Messages that the edge of the site has not forwarded, in its last heartbeat."),
		lagSeconds:  desc("lag_seconds", "Age of the oldest of these messages, in the last heartbeat."),
		corrections: desc("corrections_total", "Nodes whose states were corrected by snapshots of the site."),
	}
}

func (m *siteMetrics) describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.up, m.nodes, m.age, m.lagMessages, m.lagSeconds, m.corrections} {
		ch <- d
	}
}

func (m *siteMetrics) collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	sites := m.sites()
	for _, s := range sites {
		if s.Home {
			continue
		}
		up := 0.0
		if s.State == SiteUp {
			up = 1
		}
		gauge(m.up, up, s.Site)
		for _, state := range States {
			if state != Connected { // such nodes are not forwarded
				gauge(m.nodes, float64(s.Nodes[state]), s.Site, string(state))
			}
		}
		if !s.AsOf.IsZero() {
			gauge(m.age, sites[0].AsOf.Sub(s.AsOf).Seconds(), s.Site)
		}
		gauge(m.lagMessages, float64(s.LagMessages), s.Site)
		gauge(m.lagSeconds, s.LagSeconds, s.Site)
		ch <- prometheus.MustNewConstMetric(m.corrections, prometheus.CounterValue, float64(s.Corrections), s.Site)
	}
}
