package appliance_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/muster-appliance/muster/internal/uplink"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// hubText is the configuration of a lab that takes what edges forward.
const hubText = `
site = "hub"
[broker.sites]
ams = "ams.test"
lon = "lon.test"
`

// edgeText returns the configuration of an edge of a hub, and forwards all registrations.
func edgeText(hub *appliance.Appliance, site, rest string) string {
	return fmt.Sprintf(`site = %q
[forward.hub]
servers = ["nats://%s"]
user = "%s.test"
heartbeat = "1s"
[forward.hub.stream.CHORIA_REGISTRATION]
mode = "all"
catchup = "all"
%s`, site, hub.BrokerAddress(), site, rest)
}

// forwardedIDs returns the message ids that a hub stores of a site, in order, without the site.
func forwardedIDs(t *testing.T, hub *appliance.Appliance, site string) (ids []string) {
	t.Helper()
	for _, m := range testkit.Messages(t, testkit.JetStream(t, hub), contract.StreamRegistration) {
		if of, _, ok := contract.CutSite(m.Subject()); ok && of == site {
			ids = append(ids, strings.TrimPrefix(m.Headers().Get(jetstream.MsgIDHeader), site+"/"))
		}
	}
	return ids
}

// drained waits until an appliance has forwarded everything, and returns the ledger of the registrations.
func drained(t *testing.T, edge *appliance.Appliance) {
	t.Helper()
	wait.Eventually(t, func() error {
		for _, hub := range edge.Forwards() {
			for name, s := range hub.Streams {
				if s.Unread+s.Pending > 0 || !s.Balanced() {
					return fmt.Errorf("%s: %+v", name, s)
				}
			}
		}
		return nil
	})
}

func TestForward_StoresEachMessageOnceInItsOrder(t *testing.T) {
	hub := testkit.Appliance(t, hubText)
	edge := testkit.Appliance(t, edgeText(hub, "ams", ""))
	load := testkit.StartLoad(t, edge.BrokerAddress(), testkit.LoadOptions{Connections: 4, Rate: 2000})
	time.Sleep(time.Second)
	keys := load.Stop()
	testkit.Settled(t, edge, "registration", uint64(len(keys)))
	drained(t, edge)
	var want []string
	for _, m := range testkit.Messages(t, testkit.JetStream(t, edge), contract.StreamRegistration) {
		want = append(want, m.Headers().Get(jetstream.MsgIDHeader))
	}
	have := forwardedIDs(t, hub, "ams")
	slices.Sort(want)
	slices.Sort(have)
	if len(have) == 0 || !slices.Equal(have, want) {
		t.Errorf("the hub has %d messages, the edge %d", len(have), len(want))
	}
}

func TestForward_RestartOfTheEdgeRaisesNoWarning(t *testing.T) {
	hub := testkit.Appliance(t, hubText)
	cfg := testkit.Config(t, edgeText(hub, "ams", ""))
	var all []string
	for range 3 {
		edge := appliance.New(cfg, appliance.Options{Version: "test", Log: hclog.NewNullLogger()})
		if err := edge.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		load := testkit.StartLoad(t, edge.BrokerAddress(), testkit.LoadOptions{Connections: 1, Rate: 500, FirstID: len(all)})
		time.Sleep(2500 * time.Millisecond) // the streams are recorded every two seconds
		all = append(all, load.Stop()...)
		if _, body := testkit.Get(t, edge, "/readyz"); !strings.Contains(body, `"warnings":[]`) {
			t.Errorf("have %s", body)
		}
		if err := edge.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	edge := testkit.Open(t, cfg)
	drained(t, edge)
	have := forwardedIDs(t, hub, "ams")
	if len(have) == 0 || len(have) != len(slices.Compact(slices.Sorted(slices.Values(have)))) {
		t.Errorf("the hub has %d messages, some of them twice", len(have))
	}
}

func TestForward_PausedForwardsEventsOnly(t *testing.T) {
	hub := testkit.Appliance(t, hubText)
	cfg := testkit.Config(t, edgeText(hub, "ams", ""))
	cfg.Forward["hub"].Paused = true
	edge := testkit.Open(t, cfg)
	load := testkit.StartLoad(t, edge.BrokerAddress(), testkit.LoadOptions{Connections: 1, Rate: 200})
	time.Sleep(200 * time.Millisecond)
	keys := load.Stop()
	testkit.Settled(t, edge, "registration", uint64(len(keys)))
	streams := func() map[string]uplink.Stream { return edge.Forwards()[0].Streams }
	wait.Eventually(t, func() error {
		if events := streams()[contract.StreamFleet]; events.Forwarded < 10 {
			return fmt.Errorf("events: %+v", events)
		}
		return nil
	})
	if s := streams()[contract.StreamRegistration]; s.Forwarded > 0 || !s.Paused {
		t.Errorf("registrations are forwarded: %+v", s)
	}
	cfg.Forward["hub"].Paused = false
	if !appliance.Reloadable("forward.hub.paused") || appliance.Reloadable("forward.hub.servers") {
		t.Error("other keys than paused, hours and rate are applied")
	}
	edge.Reload(cfg)
	drained(t, edge)
	if s := streams()[contract.StreamRegistration]; s.Forwarded == 0 || s.Paused {
		t.Errorf("registrations are not forwarded: %+v", s)
	}
}

func TestForward_RateLimitsData(t *testing.T) {
	hub := testkit.Appliance(t, hubText)
	cfg := testkit.Config(t, edgeText(hub, "ams", ""))
	cfg.Forward["hub"].Paused, cfg.Forward["hub"].Rate = true, 100<<10
	edge := testkit.Open(t, cfg)
	load := testkit.StartLoad(t, edge.BrokerAddress(), testkit.LoadOptions{Connections: 4, Content: 8 << 10, Rate: 400})
	time.Sleep(300 * time.Millisecond)
	keys := load.Stop()
	testkit.Settled(t, edge, "registration", uint64(len(keys)))
	forwarded := func() uint64 { return edge.Forwards()[0].Streams[contract.StreamRegistration].BytesForwarded }
	cfg.Forward["hub"].Paused = false
	edge.Reload(cfg)
	time.Sleep(time.Second)
	limited := forwarded()
	if limited == 0 || limited > 400<<10 {
		t.Errorf("%d bytes in about a second", limited)
	}
	cfg.Forward["hub"].Rate = 0
	edge.Reload(cfg)
	drained(t, edge)
	if all := forwarded(); all < 2*limited {
		t.Errorf("%d bytes were forwarded in all, so the limit is not shown", all)
	}
}

// nodeAt returns the state of a node as an appliance shows it; empty: it does not.
func nodeAt(t *testing.T, a *appliance.Appliance, site, name string) string {
	t.Helper()
	var node struct {
		State string `json:"state"`
		Site  string `json:"site"`
	}
	if status := testkit.GetJSON(t, a, "/api/v1/nodes/"+name+"?site="+site, &node); status != http.StatusOK {
		return ""
	}
	return node.State
}

func TestForward_HubShowsWhatTheEdgeDecided(t *testing.T) {
	hub := testkit.Appliance(t, hubText)
	edge := testkit.Appliance(t, edgeText(hub, "ams", "")+"[fleet]\ndisconnect_grace = \"1s\"\n")
	nc := testkit.Connect(t, edge, nats.Name("web1.example.net"))
	_, raw := testkit.Registration(t, "web1.example.net", 1, 100)
	if err := nc.Publish(testkit.Subject, raw); err != nil {
		t.Fatal(err)
	}
	shown := func(state string) {
		t.Helper()
		wait.Eventually(t, func() error {
			if have := nodeAt(t, hub, "ams", "web1.example.net"); have != state {
				return fmt.Errorf("the node is %q, not %q", have, state)
			}
			return nil
		})
	}
	shown("up")
	closed := time.Now()
	nc.Close()
	shown("down")
	took := time.Since(closed).Round(time.Millisecond)
	t.Logf("down at the hub %s after the end of the connection, with a grace of 1 s", took)
	if have := nodeAt(t, hub, "hub", "web1.example.net"); have != "" {
		t.Errorf("the node is %s at the hub's own site", have)
	}
	wait.Eventually(t, func() error {
		var site fleet.SiteStatus
		testkit.GetJSON(t, hub, "/api/v1/sites/ams", &site)
		if site.State != fleet.SiteUp || site.Nodes[fleet.Down] != 1 || site.Streams[contract.StreamFleet].Forwarded != 2 ||
			!site.Connected || site.Corrections != 0 { // events told of it, not a snapshot
			return fmt.Errorf("have %+v", site)
		}
		return nil
	})
}
