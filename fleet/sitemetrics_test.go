package fleet

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// siteCollector is a prometheus.Collector of siteMetrics alone.
type siteCollector struct{ *siteMetrics }

func (c siteCollector) Describe(ch chan<- *prometheus.Desc) { c.describe(ch) }
func (c siteCollector) Collect(ch chan<- prometheus.Metric) { c.collect(ch) }

// gatherSites returns the metrics of sites: by name without muster_site_, and the values of the labels.
func gatherSites(t *testing.T, sites ...SiteStatus) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry() // compares what is collected with what is described
	registry.MustRegister(siteCollector{newSiteMetrics(func() []SiteStatus { return sites })})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "muster_site_")
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func TestSiteMetrics_AreThoseOfTheSitesThatForward(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	have := gatherSites(t,
		SiteStatus{Site: "hub", Home: true, State: SiteUp, AsOf: now, Nodes: map[State]int{Up: 9}},
		SiteStatus{
			Site: "ams", State: SiteUp, AsOf: now.Add(-12 * time.Second), LagMessages: 7, LagSeconds: 1.5, Corrections: 3,
			Nodes: map[State]int{Up: 5, Late: 1, Down: 2, Stopped: 4, Connected: 8, Provisioning: 6},
		},
		SiteStatus{Site: "fra", State: SiteDown, AsOf: now.Add(-time.Hour)},
		SiteStatus{Site: "sin", State: SiteWaiting},
	)
	want := map[string]float64{
		"up ams": 1, "up fra": 0, "up sin": 0,
		"nodes ams up": 5, "nodes ams late": 1, "nodes ams down": 2, "nodes ams stopped": 4,
		"nodes ams provisioning":    6,
		"heartbeat_age_seconds ams": 12, "heartbeat_age_seconds fra": 3600, // sin has had none
		"lag_messages ams": 7, "lag_messages fra": 0, "lag_messages sin": 0,
		"lag_seconds ams": 1.5, "lag_seconds fra": 0, "lag_seconds sin": 0,
		"corrections_total ams": 3, "corrections_total fra": 0, "corrections_total sin": 0,
	}
	for _, site := range []string{"fra", "sin"} {
		for _, state := range []string{"up", "late", "down", "stopped", "provisioning"} {
			want["nodes "+site+" "+state] = 0
		}
	}
	if !maps.Equal(have, want) {
		t.Errorf("have %v\nwant %v", have, want)
	}
}
