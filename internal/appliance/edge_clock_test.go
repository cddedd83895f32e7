package appliance_test

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/forward"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/link"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// openForwarder forwards the streams of an appliance to a hub, with a clock that is ahead, until the test ends.
func openForwarder(t *testing.T, edge *appliance.Appliance, server string, ahead *atomic.Int64) *forward.Forwarder {
	t.Helper()
	cfg := forward.NewConfig("hub")
	cfg.Servers, cfg.User, cfg.Heartbeat = []string{"nats://" + server}, "edge-ams", time.Second
	cfg.Streams[contract.StreamRegistration].Mode = forward.ModeAll
	cfg.Window = 16 // so that few messages are too many to be read while the hub is away
	f := forward.New(*cfg, forward.Options{
		Site: "ams", Identity: "edge-ams", Version: "test", Directory: t.TempDir(), Log: hclog.NewNullLogger(),
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		Connect: func(name string, options ...nats.Option) (*nats.Conn, error) {
			return nats.Connect(edge.BrokerAddress(), append(options, nats.Name(name))...)
		},
		PublishPrefix: func(string) string { return "" },
		Adapters:      func() map[string]uplink.Ledger { return nil },
		Disk:          func() uplink.Disk { return uplink.Disk{} },
	})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close(context.Background()) })
	return f
}

// lastOf returns the last registration of each node of the edge, as an appliance stores it; twice reports whether
// one is stored twice.
func lastOf(t *testing.T, a *appliance.Appliance) (last map[string]string, all int) {
	t.Helper()
	last, seen := map[string]string{}, map[string]bool{}
	for _, m := range testkit.Messages(t, testkit.JetStream(t, a), contract.StreamRegistration) {
		id := m.Headers().Get(jetstream.MsgIDHeader)
		if seen[id] {
			t.Errorf("%s is stored twice", id)
		}
		seen[id] = true
		last[m.Headers().Get(contract.HeaderSender)] = string(m.Data())
	}
	return last, len(seen)
}

// The link is cut for 24 hours. The edge keeps the last registrations of each node, and forwards the last one.
func TestEdge_TheLinkIsCutForADay(t *testing.T) {
	t.Parallel()
	hub := testkit.Appliance(t, "site = 'hub'\n[broker.sites]\nams = 'edge-ams'\n"+
		"[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n")
	edge := testkit.Appliance(t, "site = 'ams'\n")
	l, err := link.New(hub.BrokerAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	var ahead atomic.Int64
	f := openForwarder(t, edge, l.Address(), &ahead)
	nc, sent := testkit.Connect(t, edge), 0
	register := func() {
		for n := range 100 {
			sent++
			_, raw := testkit.Registration(t, fmt.Sprintf("web%d.example.net", n), sent, 100)
			if err := nc.Publish(testkit.Subject, raw); err != nil {
				t.Fatal(err)
			}
		}
		testkit.Settled(t, edge, "registration", uint64(sent))
	}
	outcomes := func() (s uplink.Stream) {
		wait.Eventually(t, func() error {
			s = f.Status().Streams[contract.StreamRegistration]
			if s.Read < uint64(sent) || s.Pending+s.Unread > 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		return s
	}
	register()
	outcomes()
	l.Cut()
	for range 24 {
		ahead.Add(int64(time.Hour))
		register()
	}
	l.Heal()
	s := outcomes()
	if !s.Balanced() || s.Superseded == 0 || s.Forwarded < 200 || s.Read != uint64(sent) {
		t.Errorf("%d sent: %+v", sent, s)
	}
	have, stored := lastOf(t, hub)
	want, _ := lastOf(t, edge)
	if len(have) != 100 || uint64(stored) != s.Forwarded {
		t.Errorf("the hub has %d messages of %d nodes: %+v", stored, len(have), s)
	}
	for node, body := range want {
		if have[node] != body {
			t.Errorf("the hub does not have the last registration of %s", node)
		}
	}
	t.Logf("%d registrations, %d forwarded, %d superseded", sent, s.Forwarded, s.Superseded)
}

// The clock of the edge is off. The hub stores what it forwards, says how far the clock is off, and the site is up.
func TestEdge_TheClockIsOffByAnHour(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			hub := testkit.Appliance(t, "site = 'hub'\n[broker.sites]\nams = 'edge-ams'\n")
			edge := testkit.Appliance(t, "site = 'ams'\n")
			var ahead atomic.Int64
			ahead.Store(int64(off))
			openForwarder(t, edge, hub.BrokerAddress(), &ahead)
			load := testkit.StartLoad(t, edge.BrokerAddress(), testkit.LoadOptions{Connections: 1, Rate: 100})
			wait.Eventually(t, func() error {
				if load.Published() < 20 {
					return fmt.Errorf("%d published", load.Published())
				}
				return nil
			})
			sent := load.Stop()
			wait.Eventually(t, func() error {
				if _, stored := lastOf(t, hub); stored < len(sent) {
					return fmt.Errorf("%d of %d stored", stored, len(sent))
				}
				var s fleet.SiteStatus
				testkit.GetJSON(t, hub, "/api/v1/sites/ams", &s)
				if s.State != fleet.SiteUp || math.Abs(s.ClockSeconds-off.Seconds()) > 10 {
					return fmt.Errorf("%+v", s)
				}
				return nil
			})
		})
	}
}
