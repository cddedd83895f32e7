package forward

import (
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

// testCopier returns a copier of a stream for the site ams, which is not started.
func testCopier(t *testing.T, stream string) *copier {
	t.Helper()
	cfg := NewConfig("hub")
	f := New(*cfg, Options{Site: "ams", Now: func() time.Time { return at(0) }})
	t.Cleanup(f.cancel)
	s := NewStream(stream)
	c := newCopier(f, s, f.data)
	c.lineage, c.opened = lineage{ID: "L", Runs: []run{{ID: "R"}}}, true
	return c
}

func TestCopier_Outgoing(t *testing.T) {
	for name, test := range map[string]struct {
		subject string
		header  nats.Header
		target  string
		want    map[string]string
	}{
		"registration": {
			"choria.node_metadata.web1",
			nats.Header{"Nats-Msg-Id": {"registration/web1/1"}, "Muster-Sender": {"web1"}, "Nats-Rollup": {"all"}, "X": {"1"}},
			"choria.sites.ams.choria.node_metadata.web1",
			map[string]string{
				"Nats-Msg-Id": "ams/registration/web1/1", "Muster-Sender": "web1", "Nats-Rollup": "", "X": "1",
				"Muster-Via":       "ams",
				"Choria-SR-Source": "S 7 ams L.R 1800000000000",
			},
		},
		"without an id": {
			"choria.lifecycle.event.startup.server", nil,
			"choria.sites.ams.choria.lifecycle.event.startup.server",
			map[string]string{"Nats-Msg-Id": "ams/S/7-1800000000000000000"},
		},
		"of another site": {
			"choria.sites.lon.choria.node_metadata.web1",
			nats.Header{
				"Nats-Msg-Id": {"lon/registration/web1/1"}, "Muster-Via": {"lon"}, "Choria-SR-Source": {"S 1 lon A.B 1"},
			},
			"choria.sites.lon.choria.node_metadata.web1",
			map[string]string{
				"Nats-Msg-Id": "lon/registration/web1/1", "Muster-Via": "lon,ams", "Choria-SR-Source": "S 7 ams L.R 1800000000000",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := testCopier(t, "S")
			m := &message{sequence: 7, subject: test.subject, header: test.header, stored: at(0), readIn: "L.R"}
			if have := c.target(test.subject); have != test.target {
				t.Errorf("subject %s", have)
			}
			out := c.outgoing(m)
			for name, want := range test.want {
				if have := out.Get(name); have != want {
					t.Errorf("%s: have %q, want %q", name, have, want)
				}
			}
			if m.header.Get(contract.HeaderVia) == out.Get(contract.HeaderVia) {
				t.Error("the headers of the message were changed")
			}
		})
	}
}

func TestSenderOf(t *testing.T) {
	for name, test := range map[string]struct {
		subject, sender, data, want string
		alone                       bool
	}{
		"registration":          {"choria.node_metadata.web1", "web1", "", "/web1", true},
		"of a site":             {"choria.sites.lon.choria.node_metadata.web1", "web1", "", "lon/web1", true},
		"event of a node":       {"muster.fleet.node.down.web1.lan", "", "", "/muster.fleet.node.web1.lan", true},
		"event of a site":       {"muster.fleet.site.storm.ams", "", "", "/muster.fleet.site.ams", true},
		"event of another site": {"choria.sites.lon.muster.fleet.node.up.web1", "", "", "lon/muster.fleet.node.web1", true},
		"lifecycle event":       {"choria.lifecycle.event.startup.server", "", `{"identity":"web1"}`, "/web1", false},
		"anything":              {"x.y", "", "not JSON", "x.y", true},
		"shared subject":        {"x.y", "web1", "", "/web1", false},
	} {
		t.Run(name, func(t *testing.T) {
			key, alone := senderOf(test.subject, test.sender, []byte(test.data))
			if key != test.want || alone != test.alone {
				t.Errorf("have %q, %v", key, alone)
			}
		})
	}
}

func TestParseSource(t *testing.T) {
	s := source{"S", 7, "ams", "L.R", at(3)}
	if parsed, ok := parseSource(s.String()); !ok || parsed.String() != s.String() {
		t.Errorf("have %v, %v", parsed, ok)
	}
	for _, text := range []string{"", "S 1 ams", "S x ams L.R 1", "S 1 ams L.R x", "S 1 ams L.R 1 2"} {
		if _, ok := parseSource(text); ok {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestCopier_LoopIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		subject, via, hub string
		want              bool
	}{
		"own":                  {"choria.node_metadata.web1", "", "hub", false},
		"of a site":            {"choria.sites.lon.choria.node_metadata.web1", "lon", "hub", false},
		"it was here":          {"choria.sites.lon.choria.node_metadata.web1", "lon,ams,x", "hub", true},
		"this site":            {"choria.sites.ams.choria.node_metadata.web1", "ams", "hub", true},
		"of the hub":           {"choria.sites.hub.choria.node_metadata.web1", "hub", "hub", true},
		"the hub was passed":   {"choria.sites.lon.choria.node_metadata.web1", "lon,hub", "hub", true},
		"the hub is not known": {"choria.sites.hub.choria.node_metadata.web1", "hub", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := testCopier(t, "S")
			c.f.noteHub(test.hub)
			m := &message{subject: test.subject, header: nats.Header{}}
			if test.via != "" {
				m.header.Set(contract.HeaderVia, test.via)
			}
			if why := c.loop(m); (why != "") != test.want {
				t.Errorf("have %q", why)
			}
		})
	}
}
