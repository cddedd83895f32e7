package broker

import (
	"strconv"

	"github.com/muster-appliance/muster/internal/rejected"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/pse"
	"github.com/prometheus/client_golang/prometheus"
)

// sample is what a scrape reads the gauges from.
type sample struct {
	varz *server.Varz
	jsz  *server.JSInfo
}

// gauges are Choria's names for the state of its network broker, with its help texts.
var gauges = []struct {
	name, help string
	value      func(sample) float64
}{
	{"connections", "Current connections on the network broker",
		func(s sample) float64 { return float64(s.varz.Connections) }},
	{"total_connections", "Total connections received since start",
		func(s sample) float64 { return float64(s.varz.TotalConnections) }},
	{"routes", "Current active routes to other brokers",
		func(s sample) float64 { return float64(s.varz.Routes) }},
	{"remotes", "Current active connections to other brokers",
		func(s sample) float64 { return float64(s.varz.Remotes) }},
	{"leafnode_remotes", "Current active connections to other leafnodes",
		func(s sample) float64 { return float64(s.varz.Leafs) }},
	{"in_msgs", "Messages received by the network broker",
		func(s sample) float64 { return float64(s.varz.InMsgs) }},
	{"out_msgs", "Messages sent by the network broker",
		func(s sample) float64 { return float64(s.varz.OutMsgs) }},
	{"in_bytes", "Total size of messages received by the network broker",
		func(s sample) float64 { return float64(s.varz.InBytes) }},
	{"out_bytes", "Total size of messages sent by the network broker",
		func(s sample) float64 { return float64(s.varz.OutBytes) }},
	{"slow_consumers", "Total number of clients who were considered slow consumers",
		func(s sample) float64 { return float64(s.varz.SlowConsumers) }},
	{"subscriptions", "Number of active subscriptions to subjects on this broker",
		func(s sample) float64 { return float64(s.varz.Subscriptions) }},
	{"stream_memorystore_max", "Maximum amount of Memory Storage allocated to Choria Streams",
		func(s sample) float64 { return float64(s.jsz.Config.MaxMemory) }},
	{"stream_filestore_max", "Maximum amount of File Storage allocated to Choria Streams",
		func(s sample) float64 { return float64(s.jsz.Config.MaxStore) }},
	{"stream_memorystore_used", "Memory in use by Choria Streams",
		func(s sample) float64 { return float64(s.jsz.Memory) }},
	{"stream_filestore_used", "Memory in use by Choria Streams",
		func(s sample) float64 { return float64(s.jsz.Store) }},
	{"stream_streams", "Number of active streams",
		func(s sample) float64 { return float64(s.jsz.Streams) }},
	{"stream_consumers", "Number of active consumers",
		func(s sample) float64 { return float64(s.jsz.Consumers) }},
	{"stream_messages", "Number of messages stored",
		func(s sample) float64 { return float64(s.jsz.Messages) }},
	{"stream_message_bytes", "Size in bytes of messages stored",
		func(s sample) float64 { return float64(s.jsz.Bytes) }},
}

// Usage returns the resident memory of the process in bytes, and its share of a core in percent.
func (b *Broker) Usage() (rss int64, cpu float64) {
	var virtual int64
	_ = pse.ProcUsage(&cpu, &rss, &virtual) // 0 where it cannot be read
	return rss, cpu
}

// Collector returns the broker's metrics under Muster's names.
func (b *Broker) Collector() prometheus.Collector {
	return &collector{
		broker: b,
		days: prometheus.NewDesc("muster_broker_certificate_days",
			"Days until the broker's certificate expires.", nil, nil),
		refused: prometheus.NewDesc("muster_broker_refused_total",
			"Connections that were refused, by reason.", []string{"reason"}, nil),
		connections: prometheus.NewDesc("muster_broker_connections",
			"Open connections of nodes, clients, administrators and the appliance itself (internal).", []string{"kind"}, nil),
		leafnodes: prometheus.NewDesc("muster_broker_leafnode_connected",
			"1 if the link to a broker of another site is connected, by its name; remote: this broker connects.",
			[]string{"name", "remote"}, nil),
		violations: prometheus.NewDesc("muster_broker_permission_violations_total",
			"Publishes and subscriptions that were refused for lack of permission.", []string{"kind"}, nil),
	}
}

// collector collects muster_broker_ metrics.
type collector struct {
	broker                                            *Broker
	days, refused, connections, violations, leafnodes *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for reason, n := range c.broker.auth.refusals.snapshot() {
		ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(n), reason)
	}
	for role, n := range c.broker.auth.connectionRoles.count(c.broker.auth.isOpen) {
		ch <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(n), role.String())
	}
	for _, kind := range []string{rejected.Publish, rejected.Subscribe, rejected.Reply} {
		n := float64(c.broker.permissionRefusals.counter(kind).Load())
		ch <- prometheus.MustNewConstMetric(c.violations, prometheus.CounterValue, n, kind)
	}
	for _, l := range c.broker.Links() {
		connected, remote := map[bool]float64{true: 1}[l.Connected], strconv.FormatBool(l.Remote)
		ch <- prometheus.MustNewConstMetric(c.leafnodes, prometheus.GaugeValue, connected, l.Name, remote)
	}
	if certs := c.broker.certs; certs != nil && !certs.expires().IsZero() {
		days := certs.expires().Sub(c.broker.opts.Now()).Hours() / 24
		ch <- prometheus.MustNewConstMetric(c.days, prometheus.GaugeValue, days)
	}
}

// ChoriaCollector returns the broker's metrics under the names that Choria's broker uses.
func (b *Broker) ChoriaCollector() prometheus.Collector {
	labels := prometheus.Labels{"identity": b.opts.Name}
	c := &choriaCollector{broker: b}
	for _, g := range gauges {
		c.descs = append(c.descs, prometheus.NewDesc("choria_network_"+g.name, g.help, nil, labels))
	}
	return c
}

// choriaCollector collects choria_network_ metrics.
type choriaCollector struct {
	broker *Broker
	descs  []*prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *choriaCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *choriaCollector) Collect(ch chan<- prometheus.Metric) {
	varz, err := c.broker.srv.Varz(nil)
	if err != nil {
		return
	}
	jsz, err := c.broker.srv.Jsz(nil)
	if err != nil {
		return
	}
	for i, g := range gauges {
		ch <- prometheus.MustNewConstMetric(c.descs[i], prometheus.GaugeValue, g.value(sample{varz, jsz}))
	}
}
