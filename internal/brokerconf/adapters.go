package brokerconf

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/muster-appliance/muster/internal/translate"
	"github.com/muster-appliance/muster/jsconfig"
)

const (
	adapterKeys = "plugin.choria.adapter."
	// exampleSender replaces %s in a topic to find the stream that takes it.
	exampleSender = "web1.example.net"
)

var (
	adapterTypes = []string{"choria_streams", "jetstream"}
	// streamingTypes are the names of the type that published to NATS Streaming, which no longer
	// exists.
	streamingTypes = []string{"nats_stream", "natsstream", "nats-stream"}
)

// newStream is a stream that is declared for an adapter.
type newStream struct{ name, subject string }

// adapters translates all adapters.
func (t *translation) adapters() {
	var streams []newStream
	for _, name := range list(t.get("plugin.choria.adapters")) {
		if !contract.ValidName(name) {
			t.addRemark(translate.Remark{Key: "plugin.choria.adapters", Value: name,
				Reason: "not imported: not a valid name of an adapter; use A-Z, a-z, 0-9, _ and -"})
			continue
		}
		streams = t.adapter(name, streams)
	}
	if t.registrationAdapter == "" {
		t.recordUnsigned(adapter.DefaultConfig().Name)
	}
}

// recordUnsigned makes an adapter that takes registrations store those of nodes that do not sign.
func (t *translation) recordUnsigned(name string) {
	if !t.unsigned {
		return
	}
	t.out.Set("adapter."+name, "verify", `"record"`, "nodes with tokens of signers do not sign")
	t.remarkOn(network+"server_signer_cert", "nodes that have a token of a signer and no certificate do not sign, "+
		"so adapter "+name+" has verify = \"record\": it stores their messages, and Muster-Verified has the result")
}

// adapter translates one adapter and declares its stream if needed. streams are those declared so
// far; it returns them with the new one.
func (t *translation) adapter(name string, streams []newStream) []newStream {
	prefix, table := adapterKeys+name+".", "adapter."+name
	kind, topic := t.get(prefix+"type"), t.get(prefix+"ingest.topic")
	switch {
	case !slices.Contains(adapterTypes, kind) && !slices.Contains(streamingTypes, kind):
		t.leaveOut(prefix, translate.Remark{Key: prefix + "type", Value: kind,
			Reason: "not a type of Choria's adapters; the adapter is left out"})
		return streams
	case topic == "":
		t.leaveOut(prefix, translate.Remark{
			Key: prefix + "ingest.topic", Reason: "not set, but required; the adapter is left out",
		})
		return streams
	case slices.Contains(streamingTypes, kind):
		t.out.Set(table, "type", `"jetstream"`, "was "+kind+"; NATS Streaming no longer exists")
		t.remarkOn(prefix+"type", "changed to jetstream: NATS Streaming no longer exists; "+
			"programs that read its stream must read from JetStream")
	default:
		t.out.Set(table, "type", translate.Quote(kind), "")
	}
	if n := t.number(prefix+"queue_len", 0); n < 0 {
		t.remarkOn(prefix+"queue_len", "not imported: it is negative")
	} else if n > 0 {
		t.out.Set(table, "queue_len", strconv.Itoa(n), "default: as many messages as the buffer holds")
	}
	protocol := t.protocol(prefix + "ingest.protocol")
	t.out.Set(table+".ingest", "topic", translate.Quote(topic), "")
	if what := broker.TopicWarning(topic); what != "" {
		t.caution(prefix+"ingest.topic", what)
	}
	t.out.Set(table+".ingest", "protocol", translate.Quote(protocol), "")
	out := cmp.Or(t.get(prefix+"stream.topic"), name)
	t.out.Set(table+".stream", "topic", translate.Quote(out), "")
	t.servers(prefix, table)
	t.unneeded(prefix)
	stream, streams := t.streamFor(name, out, streams)
	t.registrations(name, topic, protocol, stream)
	return streams
}

// protocol returns request or reply, as Choria reads the key.
func (t *translation) protocol(key string) string {
	switch given := t.get(key); given {
	case "request":
		return "request"
	case "", "reply":
	default:
		t.caution(key, "Choria reads every value but request, in lower case, as reply")
	}
	return "reply"
}

// servers translates the servers that an adapter publishes to. Choria uses them only if it runs no
// broker in the same process.
func (t *translation) servers(prefix, table string) {
	servers := list(t.get(prefix + "stream.servers"))
	switch {
	case len(servers) == 0:
	case isTrue(t.entries["plugin.choria.broker_network"].value):
		t.remarkOn(prefix+"stream.servers", "without effect in Choria: its broker runs in the same process; "+
			"in Muster an adapter with stream.servers publishes to those servers")
	default:
		t.out.Set(table+".stream", "servers", translate.QuoteAll(servers), "Choria ran no broker in the same process")
	}
}

// leaveOut leaves out all keys of an adapter and adds the remark.
func (t *translation) leaveOut(prefix string, why translate.Remark) {
	t.addRemark(why)
	for key := range t.entries {
		if strings.HasPrefix(key, prefix) {
			t.used[key] = true
		}
	}
}

// unneeded remarks on the keys of an adapter that Muster does not need.
func (t *translation) unneeded(prefix string) {
	for key, reason := range map[string]string{
		"ingest.workers":   "not imported: an appliance parses on every core; set ingest.workers to change that",
		"stream.workers":   "not needed: one connection publishes all messages",
		"stream.clusterid": "not needed: NATS Streaming no longer exists",
	} {
		if t.get(prefix+key) != "" {
			t.remarkOn(prefix+key, reason)
		}
	}
}

// streamFor returns the name of the stream that takes what an adapter publishes. If there is none it
// declares one, because Choria expects the stream to exist. The name is empty if that would
// overlap another stream.
func (t *translation) streamFor(name, topic string, streams []newStream) (string, []newStream) {
	defaults := jsconfig.DefaultConfig()
	filled := strings.ReplaceAll(topic, "%s", exampleSender)
	if stream := defaults.StreamFor(filled); stream != "" {
		return stream, streams
	}
	for _, s := range streams {
		if subject.Covers(s.subject, filled) {
			return s.name, streams
		}
	}
	s := newStream{strings.ToUpper(name), subject.OfAllSenders(topic)}
	overlaps := func(other string) bool { return subject.Overlap(s.subject, other) }
	taken := slices.ContainsFunc(streams, func(other newStream) bool { return overlaps(other.subject) })
	for slices.ContainsFunc(streams, func(other newStream) bool { return other.name == s.name }) {
		s.name += "_2"
	}
	for _, declared := range defaults.StreamConfigs() {
		taken = taken || declared.Name == s.name || slices.ContainsFunc(declared.Subjects, overlaps)
	}
	if taken || subject.Check(s.subject) != nil {
		t.addRemark(translate.Remark{Key: adapterKeys + name + ".stream.topic", Value: topic,
			Reason: "declare a stream for this topic, or the adapter waits; " +
				"none was made because its subject " + s.subject + " would overlap another stream"})
		return "", streams
	}
	table := "stream." + s.name
	t.out.Line(table, "# Choria expects this stream to exist; Muster declares it. Check how much it should keep.")
	t.out.Set(table, "subjects", translate.QuoteAll([]string{s.subject}), "")
	t.out.Set(table, "max_age", `"7d"`, "")
	t.out.Set(table, "max_bytes", `"1GiB"`, "")
	if strings.Contains(topic, "%s") {
		t.out.Set(table, "max_msgs_per_subject", "5", "")
	}
	return s.name, append(streams, s)
}

// registrations replaces the default adapter with an adapter that takes registrations, and lets the
// fleet view follow its stream. Only the first such adapter is used.
func (t *translation) registrations(name, topic, protocol, stream string) {
	own := adapter.DefaultConfig()
	overlaps := func(other string) bool { return subject.Overlap(topic, other) }
	takes := protocol == "request" && slices.ContainsFunc(own.Ingest.Topics, overlaps)
	if name == own.Name && !takes {
		t.addRemark(translate.Remark{Key: adapterKeys + name,
			Reason: "replaces the default adapter of the same name, which takes " + strings.Join(own.Ingest.Topics, " and ")})
	}
	if !takes {
		return
	}
	t.recordUnsigned(name)
	if t.registrationAdapter != "" {
		t.addRemark(translate.Remark{Key: adapterKeys + name + ".ingest.topic", Value: topic, Reason: fmt.Sprintf(
			"adapter %s takes registrations too; the fleet view follows its stream, not that of %s",
			t.registrationAdapter, name)})
		return
	}
	t.registrationAdapter = name
	if name != own.Name {
		t.out.Set("adapter."+own.Name, "enabled", "false", "adapter "+name+" takes the registrations")
	}
	if stream != "" && stream != fleet.DefaultConfig().Stream {
		t.out.Set("fleet", "stream", translate.Quote(stream), "where adapter "+name+" stores registrations")
	}
}
