package brokerconf

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/translate"
)

// retentions are the keys for how long Choria's own streams keep messages.
var retentions = []struct{ key, table, name string }{
	{"event_retention", "stream.CHORIA_EVENTS", "max_age"},
	{"machine_retention", "stream.CHORIA_MACHINE", "max_age"},
	{"executor_retention", "stream.CHORIA_EXECUTOR", "max_age"},
	{"advisory_retention", "stream.CHORIA_STREAM_ADVISORIES", "max_age"},
	{"leader_election_ttl", "bucket.CHORIA_LEADER_ELECTION", "ttl"},
}

// streams translates the limits of Choria's own streams.
func (t *translation) streams() {
	for _, r := range retentions {
		key := network + "stream." + r.key
		value := t.get(key)
		if value == "" {
			continue
		}
		d, err := duration(value)
		if err != nil || d < 0 {
			t.remarkOn(key, "not imported: Choria cannot read this duration; the stream keeps its default")
			continue
		}
		t.out.Set(r.table, r.name, translate.Quote(config.FormatDuration(d)), "")
	}
	for _, kind := range []string{"event", "machine", "executor", "advisory", "leader_election"} {
		if key := network + "stream." + kind + "_replicas"; t.number(key, -1) > 1 {
			t.remarkOn(key, "not supported: an appliance is not part of a cluster and keeps one copy")
		}
	}
	if t.get(network+"stream.store") != "" {
		t.remarkOn(network+"stream.store",
			"not imported: the appliance stores in data_dir; to take along what Choria stored, "+
				"copy the directory jetstream there while neither runs (docs/migrate.md)")
	}
	if t.get(network+"stream.manage_streams") != "" && !t.enabled(network+"stream.manage_streams") {
		t.remarkOn(network+"stream.manage_streams", "not imported: an appliance makes Choria's streams; "+
			"to remove one, set enabled = false in its table, such as [stream.CHORIA_EVENTS]")
	}
}

// stats translates the listener for statistics to that of the console.
func (t *translation) stats() {
	port := t.number("plugin.choria.stats_port", 0)
	address := cmp.Or(t.get("plugin.choria.stats_address"), "127.0.0.1")
	if port == 0 {
		if t.entries["plugin.choria.stats_address"].value != "" {
			t.remarkOn("plugin.choria.stats_address",
				"without effect in Choria: stats_port is not set; the console listens on 127.0.0.1:8222")
		}
		return
	}
	if addr, err := netip.ParseAddr(address); address != "localhost" && (err != nil || !addr.IsLoopback()) {
		t.loss("plugin.choria.stats_address", "programs on other machines, such as Prometheus, cannot read metrics: "+
			"the console listens on 127.0.0.1; to allow them, set console.listen, console.token and [console.tls]")
		address = "127.0.0.1"
	}
	if port == t.port {
		t.remarkOn("plugin.choria.stats_port", "not imported: nodes use the same port; the console listens on 127.0.0.1:8222")
		return
	}
	listen := net.JoinHostPort(address, strconv.Itoa(port))
	t.out.Set("console", "listen", translate.Quote(listen), "serves /choria/prometheus as before")
}
