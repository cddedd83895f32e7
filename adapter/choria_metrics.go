package adapter

import (
	"strconv"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/prometheus/client_golang/prometheus"
)

// typicalMessage is the assumed size of a message, in bytes, until one was received.
const typicalMessage = 10 << 10

// Roles in Choria's metrics. Its adapters count what they publish as received in the role
// "output", and dashboards rely on that.
const (
	roleInput  = "input"
	roleOutput = "output"
)

// ChoriaCollector returns a collector of the adapters' figures under the names, labels and help
// texts of Choria's adapters. Choria counts each worker; here there is one, number 0.
func ChoriaCollector(adapters []*Adapter, identity string) prometheus.Collector {
	constant := prometheus.Labels{"identity": identity}
	role := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("choria_adapter_"+name, help, []string{"name", "role"}, constant)
	}
	queue := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("choria_adapter_"+name, help, []string{"name"}, constant)
	}
	protocol := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("choria_protocol_"+name, help, []string{"version"}, nil)
	}
	connector := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("choria_connector_"+name, help, nil, nil)
	}
	return &choriaCollector{ // the help texts are Choria's, word for word
		adapters: adapters,
		received: role("received_msgs", "Number of messages received by adapters on their inputs"),
		errors:   role("errors", "Messages that could not be handled"),
		bytes:    role("bytes", "Bytes processed by the adapter"),
		time:     role("time", "Time taken to process messages"),
		length:   queue("queue_length", "How many messages are in the work queue to process"),
		capacity: queue("queue_capacity", "How many messages can be the work queue to process"),
		unparsed: protocol("json_parse_failures", "Amount of times un-parsable JSON was received"),
		invalid:  protocol("invalid", "Number of messages with invalid signatures"),
		valid:    protocol("valid", "Number of messages with valid signatures"),
		failed: protocol("error", "Number of protocol errors such as missing certificate, "+
			"un-parsable files and other unrecoverable errors"),
		failures: connector("initial_connection_attempts",
			"How many connection attempts were made before a connection was established"),
		connectTime:   connector("initial_connect_time", "How long it took to establish the initial connection"),
		reconnections: connector("reconnections", "Number of times the connector reconnected to the middleware"),
		closed:        connector("connection_closed", "Number of times the connection was closed"),
		connErrors:    connector("errors", "Number of times the connection encountered an error"),
	}
}

type choriaCollector struct {
	adapters                          []*Adapter
	received, errors, bytes, time     *prometheus.Desc
	length, capacity                  *prometheus.Desc
	unparsed, invalid, valid, failed  *prometheus.Desc
	failures, connectTime             *prometheus.Desc
	reconnections, closed, connErrors *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *choriaCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *choriaCollector) Collect(ch chan<- prometheus.Metric) {
	for _, a := range c.adapters {
		c.collectAdapter(ch, a)
	}
	c.collectProtocol(ch)
	c.collectConnector(ch)
}

func counter(ch chan<- prometheus.Metric, d *prometheus.Desc, n float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n, labels...)
}

func (c *choriaCollector) collectAdapter(ch chan<- prometheus.Metric, a *Adapter) {
	s, worker := a.Stats(), a.Name()+".0"
	dropped, rejected := float64(sum(s.Dropped)), float64(sum(s.Rejected))
	refused := float64(s.Rejected[contract.ReasonRefused])

	counter(ch, c.received, float64(s.Received)-dropped, worker, roleInput)
	counter(ch, c.received, float64(s.Stored+s.Duplicate), worker, roleOutput)
	counter(ch, c.errors, dropped+rejected-refused, worker, roleInput)
	counter(ch, c.errors, refused, worker, roleOutput)
	counter(ch, c.bytes, float64(s.Bytes), worker, roleInput)
	counter(ch, c.bytes, float64(s.BytesStored), worker, roleOutput)
	ch <- prometheus.MustNewConstSummary(c.time, s.Converted, s.ConvertTime.Seconds(), nil, worker, roleInput)
	ch <- prometheus.MustNewConstSummary(c.time, s.Published, s.PublishTime.Seconds(), nil, worker, roleOutput)
	ch <- prometheus.MustNewConstMetric(c.length, prometheus.GaugeValue, float64(s.Pending), a.Name())
	ch <- prometheus.MustNewConstMetric(c.capacity, prometheus.GaugeValue, a.capacity(s), a.Name())
}

// collectProtocol collects what Choria counts about messages for the whole process.
func (c *choriaCollector) collectProtocol(ch chan<- prometheus.Metric) {
	var malformed float64
	var valid, invalid [choria.V2 + 1]float64
	for _, a := range c.adapters {
		malformed += float64(a.Stats().Rejected[contract.ReasonMalformed])
		for version := choria.V1; version <= choria.V2; version++ {
			valid[version] += float64(a.signatures.valid[version].Load())
			invalid[version] += float64(a.signatures.invalid[version].Load())
		}
	}
	for version := choria.V1; version <= choria.V2; version++ {
		label := strconv.Itoa(int(version))
		counter(ch, c.unparsed, malformed, label)
		counter(ch, c.invalid, invalid[version], label)
		counter(ch, c.valid, valid[version], label)
		counter(ch, c.failed, 0, label)
		malformed = 0 // the version of a malformed message is unknown: count it once
	}
}

// collectConnector collects what Choria counts about connections for the whole process. Those of the adapters
// are the ones that Choria's broker has, too.
func (c *choriaCollector) collectConnector(ch chan<- prometheus.Metric) {
	var failures, connected, reconnections, closed, errors uint64
	var connectTime time.Duration
	for _, a := range c.adapters {
		s := a.connStats
		failures += s.failures.Load()
		connected += s.connected.Load()
		connectTime += time.Duration(s.connectTime.Load())
		reconnections += s.reconnections.Load()
		closed += s.closed.Load()
		errors += s.errors.Load()
	}
	counter(ch, c.failures, float64(failures))
	ch <- prometheus.MustNewConstSummary(c.connectTime, connected, connectTime.Seconds(), nil)
	counter(ch, c.reconnections, float64(reconnections))
	counter(ch, c.closed, float64(closed))
	counter(ch, c.connErrors, float64(errors))
}

// capacity returns how many messages the adapter can hold. If only bytes limit it, this is an
// estimate from the average size so far.
func (a *Adapter) capacity(s Stats) float64 {
	if a.cfg.QueueLen > 0 {
		return float64(a.cfg.QueueLen)
	}
	size := uint64(typicalMessage)
	if s.Received > 0 {
		size = s.Bytes / s.Received
	}
	return float64(uint64(a.opts.Buffer) / (size + overhead))
}
