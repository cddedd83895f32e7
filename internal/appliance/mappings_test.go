package appliance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/nats-io/nats.go"
)

// mappedSubjects are mappings to a subject that few connections may publish to, and to one that an adapter reads.
const mappedSubjects = `
[broker.mappings]
"in.metrics.*" = "metrics.all.$1"
"in.nodes.*.*" = "nodes.here.{{partition(3,1)}}.{{wildcard(1)}}.$2"
[adapter.mapped.ingest]
topic = "nodes.here.*.*.*"
protocol = "request"
[adapter.mapped.stream]
topic = "choria.node_metadata.%s"
`

// arriving is an attempt to publish to a subject so that the message arrives at another one, and only there.
func arriving(published, received string) attempt {
	return func(t *testing.T, s *permissionSite, nc *nats.Conn, _ column) bool {
		replace := strings.NewReplacer("UNIQUE", s.unique())
		sub, err := s.verifier.SubscribeSync(replace.Replace(received))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		allowed := publishing(replace.Replace(published))(t, s, nc, column{})
		_, err = sub.NextMsg(time.Millisecond)
		if allowed && published != received {
			t.Errorf("a message to %s arrives there", published)
		}
		return err == nil
	}
}

// TestMappings_OpenNothing has connections of every kind publish to mapped subjects, and to their destinations.
func TestMappings_OpenNothing(t *testing.T) {
	t.Parallel()
	s := openPermissionSiteWith(t, mappedSubjects)
	for _, m := range []struct{ published, destination, received string }{
		{"in.metrics.UNIQUE", "metrics.all.UNIQUE", "metrics.all.UNIQUE"},
		{"in.nodes.web.UNIQUE", "nodes.here.7.web.UNIQUE", "nodes.here.*.web.UNIQUE"},
	} {
		allowed := 0
		for _, c := range columns() {
			nc := s.connect(t, c)
			direct := publishing(m.destination)(t, s, nc, c)
			if mapped := arriving(m.published, m.received)(t, s, nc, c); mapped != direct {
				t.Errorf("%s: %s over the mapping %v, directly %v", c.title, m.destination, mapped, direct)
			}
			if direct {
				allowed++
			}
		}
		if allowed == 0 || allowed == len(columns()) {
			t.Errorf("%d kinds of connections may publish to %s", allowed, m.destination)
		}
	}
}

// TestMappings_KeepThePublisher has nodes register on a subject that is mapped to that of an adapter: the adapter
// knows which connection published.
func TestMappings_KeepThePublisher(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, mappedSubjects)
	a := testkit.Appliance(t, text)
	nodes := connectNodes(t, a, site, 2)
	_, own, err := nodes[0].Registration(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, err := nodes[1].Registration(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range [][]byte{own, foreign} {
		publish(t, nodes[0].nc, &nats.Msg{Subject: "in.nodes.web.linux", Data: raw})
	}
	testkit.Settled(t, a, "mapped", 2)
	js := adminJetStream(t, a, site)
	stored := testkit.Messages(t, js, contract.StreamRegistration)
	if len(stored) != 1 || stored[0].Headers().Get(contract.HeaderSender) != nodes[0].Identity {
		t.Errorf("stored %d messages", len(stored))
	}
	rejected := testkit.Messages(t, js, contract.StreamRejected)
	if len(rejected) != 1 || rejected[0].Headers().Get(contract.HeaderReason) != contract.ReasonWrongConnection ||
		!strings.HasPrefix(rejected[0].Headers().Get(contract.HeaderSubject), "nodes.") {
		t.Errorf("rejected %d messages", len(rejected))
	}
}

func TestConfig_WarnsOfMappedStreams(t *testing.T) {
	cfg, err := appliance.Parse("test.toml", []byte("[stream.METRICS]\nsubjects = ['in.metrics.>', 'old.metrics.>']\n"+
		"max_bytes = '1MiB'\n[broker.mappings]\n'in.metrics.cpu' = 'metrics.all.cpu'\n'in.metrics.old' = 'old.metrics.x'\n"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `stream METRICS does not store what is published to "in.metrics.cpu": ` +
		`broker.mappings maps it to "metrics.all.cpu"`
	if warnings := cfg.Warnings(); len(warnings) != 1 || warnings[0] != want {
		t.Errorf("%q", warnings)
	}
}
