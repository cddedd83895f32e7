package brokerconf

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"

	"github.com/muster-appliance/muster/internal/config"
)

// retentions are how long Choria's own streams keep what they have.
var retentions = []struct{ key, table, name string }{
	{"event_retention", "stream.CHORIA_EVENTS", "max_age"}, {"machine_retention", "stream.CHORIA_MACHINE", "max_age"},
	{"executor_retention", "stream.CHORIA_EXECUTOR", "max_age"}, {"advisory_retention", "stream.CHORIA_STREAM_ADVISORIES", "max_age"},
	{"leader_election_ttl", "bucket.CHORIA_LEADER_ELECTION", "ttl"},
}

func (t *translation) streams() {
	for _, r := range retentions {
		key := network + "stream." + r.key
		value := t.get(key)
		if value == "" {
			continue
		}
		d, err := duration(value)
		if err != nil || d < 0 {
			t.note(key, "no time that Choria reads: the stream has its default")
			continue
		}
		t.out.set(r.table, r.name, quote(config.FormatDuration(d)), "")
	}
	for _, kind := range []string{"event", "machine", "executor", "advisory", "leader_election"} {
		if key := network + "stream." + kind + "_replicas"; t.number(key, -1) > 1 {
			t.note(key, "an appliance is no cluster: there is one copy")
		}
	}
	if t.get(network+"stream.store") != "" {
		t.note(network+"stream.store", "what Choria has stored stays there; the appliance begins with streams of its own, in data_dir")
	}
	if t.get(network+"stream.manage_streams") != "" && !t.is(network+"stream.manage_streams") {
		t.note(network+"stream.manage_streams", `Choria's streams are made here; enabled = false in [stream.CHORIA_EVENTS] and so on takes one away`)
	}
}

func (t *translation) stats() {
	port := t.number("plugin.choria.stats_port", 0)
	address := cmp.Or(t.get("plugin.choria.stats_address"), "127.0.0.1")
	if port == 0 {
		if t.entries["plugin.choria.stats_address"].value != "" {
			t.note("plugin.choria.stats_address", "without a port Choria has no statistics; the console listens on 127.0.0.1:8222")
		}
		return
	}
	if port == t.port {
		t.note("plugin.choria.stats_port", "the nodes' port too; the console listens on 127.0.0.1:8222")
		return
	}
	if addr, err := netip.ParseAddr(address); address != "localhost" && (err != nil || !addr.IsLoopback()) {
		t.note("plugin.choria.stats_address", "beyond loopback the console wants console.token and [console.tls]; it listens on 127.0.0.1 until it has them")
		address = "127.0.0.1"
	}
	t.out.set("console", "listen", quote(net.JoinHostPort(address, strconv.Itoa(port))), "/choria/prometheus is there as before")
}
