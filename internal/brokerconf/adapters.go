package brokerconf

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/muster-appliance/muster/jsconfig"
)

const (
	adapterKeys = "plugin.choria.adapter."
	// sender stands for any of them.
	sender = "web1.example.net"
)

// kinds are those of Choria's adapters, and gone how one was called that it had.
var (
	kinds = []string{"choria_streams", "jetstream"}
	gone  = []string{"nats_stream", "natsstream", "nats-stream"}
)

// added is a stream that is declared for an adapter.
type added struct{ name, subject string }

func (t *translation) adapters() {
	var streams []added
	for _, name := range list(t.get("plugin.choria.adapters")) {
		if !contract.ValidName(name) {
			t.remark(Remark{Key: "plugin.choria.adapters", Value: name, Reason: "no name for an adapter: use A-Z, a-z, 0-9, _ and -"})
			continue
		}
		streams = t.adapter(name, streams)
	}
}

// adapter writes one, with the stream that it needs.
func (t *translation) adapter(name string, streams []added) []added {
	at, table := adapterKeys+name+".", "adapter."+name
	kind, topic := t.get(at+"type"), t.get(at+"ingest.topic")
	switch {
	case !slices.Contains(kinds, kind) && !slices.Contains(gone, kind):
		t.leaveOut(at, Remark{Key: at + "type", Value: kind, Reason: "no adapter that Choria has; it is left out, with all its keys"})
		return streams
	case topic == "":
		t.leaveOut(at, Remark{Key: at + "ingest.topic", Reason: "an adapter needs one; it is left out, with all its keys"})
		return streams
	case slices.Contains(gone, kind):
		t.out.set(table, "type", `"jetstream"`, "was "+kind+": NATS Streaming is gone, the rest stays the same")
		t.note(at+"type", "NATS Streaming is gone; it is a jetstream adapter here. Who reads its stream must read JetStream now")
	default:
		t.out.set(table, "type", quote(kind), "")
	}
	if n := t.number(at+"queue_len", 0); n < 0 {
		t.note(at+"queue_len", "less than nothing: it is left out")
	} else if n > 0 {
		t.out.set(table, "queue_len", strconv.Itoa(n), "without it as many messages as the buffer holds")
	}
	protocol := t.protocol(at + "ingest.protocol")
	t.out.set(table+".ingest", "topic", quote(topic), "")
	t.out.set(table+".ingest", "protocol", quote(protocol), "")
	out := cmp.Or(t.get(at+"stream.topic"), name)
	t.out.set(table+".stream", "topic", quote(out), "")
	t.servers(at, table)
	t.unneeded(at)
	stream, streams := t.streamFor(name, out, streams)
	t.registrations(name, topic, protocol, stream)
	return streams
}

func (t *translation) protocol(key string) string {
	switch given := t.get(key); given {
	case "request":
		return "request"
	case "", "reply":
	default:
		t.warn(key, "Choria takes everything but request, written so, for reply")
	}
	return "reply"
}

// servers are where an adapter publishes that has no broker beside it.
func (t *translation) servers(at, table string) {
	servers := list(t.get(at + "stream.servers"))
	switch {
	case len(servers) == 0:
	case isTrue(t.entries["plugin.choria.broker_network"].value):
		t.note(at+"stream.servers", "Choria does not look at it where the broker runs in the same process; here stream.servers does publish elsewhere")
	default:
		t.out.set(table+".stream", "servers", quoteAll(servers), "no broker runs beside this adapter")
	}
}

// leaveOut leaves all keys of an adapter out, and says why.
func (t *translation) leaveOut(at string, why Remark) {
	t.remark(why)
	for key := range t.entries {
		if strings.HasPrefix(key, at) {
			t.used[key] = true
		}
	}
}

// unneeded are keys of an adapter that do nothing here.
func (t *translation) unneeded(at string) {
	for key, reason := range map[string]string{
		"ingest.workers":   "as many are parsed in parallel as there are cores; ingest.workers says otherwise",
		"stream.workers":   "one connection publishes for all",
		"stream.clusterid": "NATS Streaming is gone",
	} {
		if t.get(at+key) != "" {
			t.note(at+key, reason)
		}
	}
}

// streamFor is the stream that takes what an adapter publishes; one is declared where there is
// none, because Choria's adapters leave that to somebody else.
func (t *translation) streamFor(name, topic string, streams []added) (string, []added) {
	defaults := jsconfig.DefaultConfig()
	filled := strings.ReplaceAll(topic, "%s", sender)
	if stream := defaults.StreamFor(filled); stream != "" {
		return stream, streams
	}
	for _, s := range streams {
		if subject.Covers(s.subject, filled) {
			return s.name, streams
		}
	}
	tokens := strings.Split(topic, ".")
	if i := slices.IndexFunc(tokens, func(token string) bool { return strings.Contains(token, "%s") }); i >= 0 {
		tokens = append(tokens[:i:i], ">")
	}
	s := added{strings.ToUpper(name), strings.Join(tokens, ".")}
	clash := func(other string) bool { return subject.Overlap(s.subject, other) }
	taken := slices.ContainsFunc(streams, func(other added) bool { return clash(other.subject) })
	for slices.ContainsFunc(streams, func(other added) bool { return other.name == s.name }) {
		s.name += "_2"
	}
	for _, declared := range defaults.StreamConfigs() {
		taken = taken || declared.Name == s.name || slices.ContainsFunc(declared.Subjects, clash)
	}
	if taken || subject.Check(s.subject) != nil {
		t.remark(Remark{Key: adapterKeys + name + ".stream.topic", Value: topic, Reason: "declare a stream that takes it: what would be " + s.subject + " overlaps others. Until then the adapter waits"})
		return "", streams
	}
	table := "stream." + s.name
	t.out.line(table, "# Choria's adapter leaves its stream to somebody else; here it is declared. How much is to be kept?")
	t.out.set(table, "subjects", quoteAll([]string{s.subject}), "")
	t.out.set(table, "max_age", `"7d"`, "")
	t.out.set(table, "max_bytes", `"1GiB"`, "")
	if strings.Contains(topic, "%s") {
		t.out.set(table, "max_msgs_per_subject", "5", "")
	}
	return s.name, append(streams, s)
}

// registrations lets an adapter that takes them do so alone, and the view follow its stream.
func (t *translation) registrations(name, topic, protocol, stream string) {
	own := adapter.DefaultConfig()
	takes := protocol == "request" && slices.ContainsFunc(own.Ingest.Topics, func(other string) bool { return subject.Overlap(topic, other) })
	if name == own.Name && !takes {
		t.remark(Remark{Key: adapterKeys + name, Reason: "it has the name, and so the place, of the adapter that an appliance has by itself, which takes " + strings.Join(own.Ingest.Topics, " and ")})
	}
	if !takes {
		return
	}
	if t.registrar != "" {
		t.remark(Remark{Key: adapterKeys + name + ".ingest.topic", Value: topic, Reason: fmt.Sprintf("another adapter takes registrations too: the view of the nodes follows one of their streams, not that of %s", name)})
		return
	}
	t.registrar = name
	if name != own.Name {
		t.out.set("adapter."+own.Name, "enabled", "false", "adapter "+name+" takes the registrations")
	}
	if stream != "" && stream != fleet.DefaultConfig().Stream {
		t.out.set("fleet", "stream", quote(stream), "where adapter "+name+" stores registrations")
	}
}
