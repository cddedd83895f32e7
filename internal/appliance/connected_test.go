package appliance_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// TestAppliance_ShowsConnectedNodes connects nodes that do not register. Each is in the view at once, with
// the reason why its registration was rejected, and leaves it without an event.
func TestAppliance_ShowsConnectedNodes(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, keepAll)
	a := testkit.Appliance(t, text)
	adminJetStream(t, a, site) // the connection of an administrator is not a node's
	nodes := connectNodes(t, a, site, 3)
	awaitSummary(t, a, map[fleet.State]int{fleet.Connected: 3})
	_, foreign, err := nodes[1].Registration(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	publish(t, nodes[0].nc, &nats.Msg{Subject: testkit.Subject, Data: foreign})
	testkit.Settled(t, a, "registration", 1)

	var detail fleet.Detail
	testkit.GetJSON(t, a, "/api/v1/nodes/"+nodes[0].Identity, &detail)
	r := detail.Rejected
	if detail.State != fleet.Connected || r == nil || r.Reason != contract.ReasonWrongConnection {
		t.Fatalf("have %+v, rejected %+v", detail.NodeStatus, r)
	}
	want := "connected, but has not registered yet; its last message was rejected: wrong-connection: the sender is "
	if !strings.HasPrefix(detail.Reason, want) || !detail.Connection.Verified || detail.Connection.Address != "127.0.0.1" {
		t.Errorf("reason %q, connection %+v", detail.Reason, detail.Connection)
	}
	var page fleet.Page
	testkit.GetJSON(t, a, "/api/v1/nodes?state=connected", &page)
	if len(page.Nodes) != 3 || page.Nodes[1].Reason != "connected, but has not registered yet" {
		t.Errorf("connected nodes: %+v", page.Nodes)
	}

	_, raw, err := nodes[1].Registration(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	publish(t, nodes[1].nc, &nats.Msg{Subject: testkit.Subject, Data: raw})
	awaitSummary(t, a, map[fleet.State]int{fleet.Connected: 2, fleet.Up: 1})
	nodes[0].nc.Close()
	awaitSummary(t, a, map[fleet.State]int{fleet.Connected: 1, fleet.Up: 1})
	if status, _ := testkit.Get(t, a, "/api/v1/nodes/"+nodes[0].Identity); status != http.StatusNotFound {
		t.Errorf("a node that never registered and is not connected: status %d", status)
	}
	wait.Eventually(t, func() error {
		var events fleet.EventPage
		testkit.GetJSON(t, a, "/api/v1/events?after=0", &events)
		if len(events.Events) != 1 || events.Events[0].Node != nodes[1].Identity || events.Events[0].Event != "new" {
			return fmt.Errorf("events %+v", events.Events)
		}
		return nil
	})
}

// awaitSummary waits until the view has so many nodes in each state, and no others.
func awaitSummary(t *testing.T, a *appliance.Appliance, want map[fleet.State]int) {
	t.Helper()
	wait.Eventually(t, func() error {
		var summary fleet.Summary
		testkit.GetJSON(t, a, "/api/v1/fleet", &summary)
		sum := 0
		for state, n := range want {
			if sum += n; summary.States[state] != n {
				return fmt.Errorf("%v, want %v", summary.States, want)
			}
		}
		sites := 0
		for _, n := range summary.Sites {
			sites += n
		}
		if summary.Nodes != sum || sites != sum {
			return fmt.Errorf("%d nodes, %d of sites, want %d", summary.Nodes, sites, sum)
		}
		return nil
	})
}

// TestAppliance_NoticesTwoProcessesWithOneIdentity has two processes of one machine register as the same
// node. Another node has two connections and registers over one, and a client has two: those are no
// conflicts.
func TestAppliance_NoticesTwoProcessesWithOneIdentity(t *testing.T) {
	t.Parallel()
	site, text := newSite(t, keepAll+"[broker]\nping_interval = '1s'\n")
	a := testkit.Appliance(t, text)
	nodes := connectNodes(t, a, site, 2)
	for range 2 {
		adminJetStream(t, a, site)
	}
	second := testkit.Connect(t, a, nodes[0].Options(nodes[0].Identity, site.Roots())...)
	testkit.Connect(t, a, nodes[1].Options(nodes[1].Identity, site.Roots())...)
	register := func(n nodeWithConn) {
		t.Helper()
		_, raw, err := n.Registration(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		publish(t, n.nc, &nats.Msg{Subject: testkit.Subject, Data: raw})
	}
	for range 2 {
		register(nodes[0])
		register(nodes[1])
		register(nodeWithConn{nodes[0].Node, second})
	}
	testkit.Settled(t, a, "registration", 6)
	want := []string{nodes[0].Identity}
	wait.Eventually(t, func() error {
		var summary fleet.Summary
		testkit.GetJSON(t, a, "/api/v1/fleet", &summary)
		if !slices.Equal(summary.Conflicts, want) {
			return fmt.Errorf("in conflict: %v, want %v", summary.Conflicts, want)
		}
		return nil
	})
	var detail fleet.Detail
	testkit.GetJSON(t, a, "/api/v1/nodes/"+nodes[0].Identity, &detail)
	if c := detail.Conflict; c == nil || len(c.Connections) != 2 || c.Connections[0].Address != "127.0.0.1" {
		t.Errorf("have %+v", detail.NodeStatus)
	}
}
