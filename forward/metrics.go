package forward

import (
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/prometheus/client_golang/prometheus"
)

// Collector returns a collector of the ledgers of forwarders. It reads each once per scrape, so that the figures of
// one scrape add up.
func Collector(forwarders []*Forwarder) prometheus.Collector {
	return &collector{
		forwarders: forwarders,
		connected:  desc("connected", "1 while there is a connection to the hub.", "hub"),
		heartbeats: desc("heartbeats_total", "Heartbeats that the hub has answered.", "hub"),
		unrecorded: desc("rejects_unrecorded_total",
			"Messages that the hub rejected and that are not in MUSTER_REJECTED.", "hub"),
		read: desc("read_total", "Messages read from the stream.", "hub", "stream"),
		outcomes: desc("messages_total", "Messages with an outcome: forwarded, duplicate, unchanged, sampled, "+
			"superseded or rejected.", "hub", "stream", "outcome"),
		bytes:    desc("bytes_total", "Bytes of the forwarded messages.", "hub", "stream"),
		pending:  desc("pending", "Messages read that have no outcome yet.", "hub", "stream"),
		unread:   desc("unread", "Messages that are not read yet.", "hub", "stream"),
		position: desc("position", "Sequence up to which every message has its outcome.", "hub", "stream"),
		oldest:   desc("oldest_seconds", "Age of the oldest message that was read and has no outcome.", "hub", "stream"),
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("muster_forward_"+name, help, labels, nil)
}

type collector struct {
	forwarders                        []*Forwarder
	connected, heartbeats, unrecorded *prometheus.Desc
	read, outcomes, bytes             *prometheus.Desc
	pending, unread, position, oldest *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, f := range c.forwarders {
		s := f.Status()
		connected := 0.0
		if s.Connected {
			connected = 1
		}
		ch <- prometheus.MustNewConstMetric(c.connected, prometheus.GaugeValue, connected, s.Hub)
		counter := func(d *prometheus.Desc, n uint64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{s.Hub}, labels...)...)
		}
		counter(c.heartbeats, f.beat.answered.Load())
		counter(c.unrecorded, s.Unrecorded)
		for name, stream := range s.Streams {
			counter(c.read, stream.Read, name)
			counter(c.bytes, stream.BytesForwarded, name)
			for outcome, n := range outcomes(&stream) {
				counter(c.outcomes, n, name, outcome)
			}
			gauge := func(d *prometheus.Desc, value float64) {
				ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, s.Hub, name)
			}
			gauge(c.pending, float64(stream.Pending))
			gauge(c.unread, float64(stream.Unread))
			gauge(c.position, float64(stream.Position))
			gauge(c.oldest, stream.OldestSeconds)
		}
	}
}

// outcomes returns the number of messages by outcome.
func outcomes(s *uplink.Stream) map[string]uint64 {
	return map[string]uint64{
		"forwarded": s.Forwarded, "duplicate": s.Duplicate, "unchanged": s.Unchanged, "sampled": s.Sampled,
		"superseded": s.Superseded, "rejected": s.Rejected,
	}
}
