package adapter

import "github.com/prometheus/client_golang/prometheus"

// Collector returns a collector of the adapters' ledgers. It reads each once per scrape, so that
// the figures of one scrape add up.
func Collector(adapters []*Adapter) prometheus.Collector {
	return &collector{
		adapters:   adapters,
		received:   desc("received_total", "Messages received from the subjects of ingest.topic."),
		stored:     desc("stored_total", "Messages that the stream has acknowledged."),
		duplicate:  desc("duplicate_total", "Messages that the stream had already."),
		retries:    desc("retries_total", "Retries scheduled."),
		bytes:      desc("bytes_total", "Bytes received from the subjects of ingest.topic."),
		unrecorded: desc("rejects_unrecorded_total", "Rejected messages that are not in the stream of rejected messages."),
		rejected:   desc("rejected_total", "Messages rejected, by reason.", "reason"),
		dropped:    desc("dropped_total", "Messages dropped, by reason.", "reason"),
		setBack: desc("set_back_total", "Messages accepted over their sender's own connection that were signed before"+
			" its newest one: its clock was set back."),
		pending: desc("pending", "Messages received that have no outcome yet."),
		held:    desc("held_bytes", "Bytes held for the pending messages."),
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("muster_adapter_"+name, help, append([]string{"adapter"}, labels...), nil)
}

type collector struct {
	adapters                                     []*Adapter
	received, stored, duplicate, retries, bytes  *prometheus.Desc
	unrecorded, rejected, dropped, pending, held *prometheus.Desc
	setBack                                      *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, a := range c.adapters {
		s, name := a.Stats(), a.Name()
		counter := func(d *prometheus.Desc, n uint64, labels ...string) {
			labels = append([]string{name}, labels...)
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
		}
		counter(c.received, s.Received)
		counter(c.stored, s.Stored)
		counter(c.duplicate, s.Duplicate)
		counter(c.retries, s.Retries)
		counter(c.bytes, s.Bytes)
		counter(c.unrecorded, s.RejectsUnrecorded)
		counter(c.setBack, s.SetBack)
		for reason, n := range s.Rejected {
			counter(c.rejected, n, reason)
		}
		for reason, n := range s.Dropped {
			counter(c.dropped, n, reason)
		}
		ch <- prometheus.MustNewConstMetric(c.pending, prometheus.GaugeValue, float64(s.Pending), name)
		ch <- prometheus.MustNewConstMetric(c.held, prometheus.GaugeValue, float64(s.Held), name)
	}
}
