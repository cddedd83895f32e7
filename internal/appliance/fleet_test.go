package appliance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// awaitNodes waits until the API lists such nodes for a query, each as name and state, and returns them.
func awaitNodes(t *testing.T, a *appliance.Appliance, query string, want ...string) []fleet.NodeStatus {
	t.Helper()
	var page fleet.Page
	wait.Eventually(t, func() error {
		page = fleet.Page{}
		testkit.GetJSON(t, a, "/api/v1/nodes"+query, &page)
		var found []string
		for _, n := range page.Nodes {
			found = append(found, n.Name+" "+string(n.State))
		}
		if fmt.Sprint(found) != fmt.Sprint(want) {
			return fmt.Errorf("nodes%s: %q, want %q", query, found, want)
		}
		return nil
	})
	return page.Nodes
}

// openProvisioner connects a provisioner, and returns it with a provisioning token. The password is "secret".
func openProvisioner(t *testing.T, a *appliance.Appliance, site *enroll.Site) (p *simnode.Provisioner, token string) {
	t.Helper()
	p = &simnode.Provisioner{Site: site, Password: "secret"}
	if err := p.Open("nats://" + a.BrokerAddress()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	token, err := site.ProvisioningToken(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return p, token
}

// TestFleet_ShowsNodesInProvisioning connects nodes with a provisioning token, one of them under the name of a node
// that has registered, beside a provisioner.
func TestFleet_ShowsNodesInProvisioning(t *testing.T) {
	t.Parallel()
	site, config := newSite(t, "[fleet]\ndisconnect_grace = \"1s\"\n[broker.provisioning]\nclient_password = \"secret\"\n")
	a := testkit.Appliance(t, config)
	node, err := simnode.NewNode(0, simnode.NodeOptions{Protocol: choria.V2, Site: site})
	if err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a, node.Options(node.Identity, site.Roots())...)
	_, raw, err := node.Registration(time.Now())
	if err != nil || nc.Publish(simnode.Subject, raw) != nil || nc.Flush() != nil {
		t.Fatal(err)
	}
	awaitNodes(t, a, "", node.Identity+" up")

	_, token := openProvisioner(t, a, site)
	unprovisioned := func(name string) *nats.Conn {
		return testkit.Connect(t, a, append(simnode.Credentials{}.Options(name, site.Roots()), nats.Token(token))...)
	}
	other := unprovisioned("new1.example.net")
	awaitNodes(t, a, "?state=provisioning", "new1.example.net provisioning")
	awaitNodes(t, a, "", node.Identity+" up")
	nc.Close()
	awaitNodes(t, a, "", node.Identity+" down")
	unprovisioned(node.Identity)
	listed := awaitNodes(t, a, "?state=provisioning", "new1.example.net provisioning", node.Identity+" provisioning")
	down := awaitNodes(t, a, "", node.Identity+" down")
	if listed[0].NameTaken || !listed[1].NameTaken || listed[1].Connection.Connected != "yes" ||
		down[0].Connection.Connected != "no" {
		t.Errorf("in provisioning %+v\nnode %+v", listed, down)
	}
	var detail fleet.Detail
	testkit.GetJSON(t, a, "/api/v1/nodes/new1.example.net", &detail)
	if detail.State != fleet.Provisioning || detail.Connection.Address != "127.0.0.1" || detail.Connection.Verified {
		t.Errorf("%+v", detail)
	}
	_, metrics := testkit.Get(t, a, "/metrics")
	if !strings.Contains(metrics, `muster_fleet_nodes{state="provisioning"} 2`) {
		t.Error("the metric has another number")
	}
	other.Close()
	awaitNodes(t, a, "?state=provisioning", node.Identity+" provisioning")
}

// TestFleet_ProvisionedNodeIsOneNode provisions nodes, which register then.
func TestFleet_ProvisionedNodeIsOneNode(t *testing.T) {
	t.Parallel()
	site, config := newSite(t, "[broker.provisioning]\nclient_password = \"secret\"\n")
	a := testkit.Appliance(t, config)
	options := simnode.NodeOptions{Protocol: choria.V2, Site: site, Unprovisioned: true}
	nodes, err := simnode.NewNodes("nats://"+a.BrokerAddress(), 2, options, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nodes.Close)
	provisioner, token := openProvisioner(t, a, site)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		provisioner.Run(ctx, func(err error) { t.Error(err) })
	}()
	if err := nodes.Provision(ctx, token, func() {}); err != nil {
		t.Fatal(err)
	}
	awaitNodes(t, a, "?state=provisioning")
	awaitNodes(t, a, "", "node00000.example.net connected", "node00001.example.net connected")
	registering, end := context.WithTimeout(ctx, 100*time.Millisecond)
	defer end()
	if err := nodes.Register(registering); err != nil {
		t.Fatal(err)
	}
	awaitNodes(t, a, "", "node00000.example.net up", "node00001.example.net up")
	awaitNodes(t, a, "?state=provisioning")
	stop()
	<-done
	wait.Eventually(t, func() error {
		var page fleet.EventPage
		testkit.GetJSON(t, a, "/api/v1/events?after=0", &page)
		if len(page.Events) != 2 || page.Events[0].Event != "new" || page.Events[1].Event != "new" {
			return fmt.Errorf("events %+v", page.Events)
		}
		return nil
	})
	testkit.Settled(t, a, "registration", nodes.Sent())
	if s := a.Stats()["registration"]; s.Stored != nodes.Sent() || s.Received != s.Stored {
		t.Errorf("%d registrations were sent, the ledger has %+v", nodes.Sent(), s)
	}
}
