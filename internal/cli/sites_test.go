package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestSites_UsageErrors(t *testing.T) {
	for name, args := range map[string][]string{
		"two sites":    {"sites", "ams", "fra"},
		"no name":      {"sites", ""},
		"JSON and CSV": {"sites", "--json", "--csv"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _, errOut := muster(t, args...); status != 2 {
				t.Errorf("status %d, %s", status, errOut)
			}
		})
	}
}

func TestSites_AreCompletedByTheShell(t *testing.T) {
	server := aHub().open(t, "")
	for _, test := range []struct{ args, want string }{
		{"sites --server SERVER ", "ams\nfra\nlab\nnyc\nsin\n:4\n"},
		{"sites --server SERVER fra ", ":4\n"},
		{"nodes --server SERVER --site ", "ams\nfra\nlab\nnyc\nsin\n:4\n"},
		{"node --server SERVER web2.example.net --site ", "ams\nfra\nlab\nnyc\nsin\n:4\n"},
		{"sites --server http://127.0.0.1:1 ", ":4\n"}, // where nothing listens
	} {
		t.Run(test.args, func(t *testing.T) {
			args := strings.Split(strings.ReplaceAll("__complete "+test.args, "SERVER", server), " ")
			if status, out, errOut := muster(t, args...); status != 0 || out != test.want {
				t.Errorf("status %d, %q, %s; want %q", status, out, errOut, test.want)
			}
		})
	}
}

// An appliance of a version without sites and hubs answers that it has no such endpoint.
func TestSites_OlderAppliances(t *testing.T) {
	answers := withAnswer(readyAnswers(0, 0), "/varz", `{"server_name":"collector1"}`)
	answers = withAnswer(answers, "/api/v1/streams", `{"streams":[],"changes":[]}`)
	for _, path := range []string{"/api/v1/sites", "/api/v1/forward"} {
		answers = withAnswer(answers, path, `{"code":"not-found","error":"the API has no endpoint"}`)
	}
	url := fakeConsole(t, answers)
	for _, args := range []string{"status", "fleet", "check health --dropped=", "nodes"} {
		t.Run(args, func(t *testing.T) {
			status, out, errOut := muster(t, append(strings.Fields(args), "--server", url)...)
			if status != 0 {
				t.Errorf("status %d\n%s%s", status, out, errOut)
			}
		})
	}
}

const siteNodes = 3 // at each site

// startEdge runs an edge of a site, with nodes that have the same names at every site.
func startEdge(t *testing.T, hub *appliance.Appliance, site string) *appliance.Appliance {
	t.Helper()
	edge := testkit.Appliance(t, fmt.Sprintf(`site = %q
[forward.hub]
servers = ["nats://%s"]
user = "%s.test"
heartbeat = "1s"
`, site, hub.BrokerAddress(), site))
	connectNodes(t, edge.BrokerAddress(), siteNodes, simnode.NodeOptions{})
	return edge
}

func TestSites_CommandsAtAHub(t *testing.T) {
	t.Parallel()
	hub := testkit.Appliance(t, "site = 'hub'\n[fleet]\ndisconnect_grace = '1s'\n"+
		"[broker.sites]\nams = 'ams.test'\nfra = 'fra.test'\nsin = 'sin.test'\n")
	ams, fra := startEdge(t, hub, "ams"), startEdge(t, hub, "fra")
	awaitSites(t, hub, map[string]fleet.SiteState{
		"ams": fleet.SiteUp, "fra": fleet.SiteUp, "hub": fleet.SiteUp, "sin": fleet.SiteWaiting,
	})
	testEdgeStatus(t, ams)
	testNodesOfSites(t, hub)
	if err := fra.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	awaitSites(t, hub, map[string]fleet.SiteState{
		"ams": fleet.SiteUp, "fra": fleet.SiteDown, "hub": fleet.SiteUp, "sin": fleet.SiteWaiting,
	})
	testSiteDown(t, hub)
}

// awaitSites waits until a hub shows the sites in these states, and all nodes of those that it has heard of as up.
func awaitSites(t *testing.T, hub *appliance.Appliance, want map[string]fleet.SiteState) {
	t.Helper()
	c := client("http://" + hub.ConsoleAddress())
	defer c.Close()
	wait.Eventually(t, func() error {
		answer, err := c.Sites(t.Context())
		if err != nil || len(answer.Sites) != len(want) || !answer.Sites[0].Home {
			return fmt.Errorf("%+v, %w", answer, err)
		}
		for _, s := range answer.Sites {
			forwards := !s.Home && s.State != fleet.SiteWaiting
			if s.State != want[s.Site] || forwards && (s.Nodes[fleet.Up] != siteNodes || s.LagMessages > 0) {
				return fmt.Errorf("%+v", s)
			}
		}
		return nil
	})
}

// testEdgeStatus compares what an edge shows of its hub.
func testEdgeStatus(t *testing.T, edge *appliance.Appliance) {
	server := "http://" + edge.ConsoleAddress()
	status, out, errOut := muster(t, "status", "--server", server)
	if status != 0 || strings.Contains(out, "NOT") || !strings.Contains(out, "site hub, last heartbeat answered ") ||
		!strings.Contains(out, fmt.Sprintf("all: %d read = %[1]d forwarded + 0 duplicate", siteNodes)) {
		t.Errorf("status of an edge: %d\n%s%s", status, out, errOut)
	}
	status, out, _ = muster(t, "check", "health", "--server", server)
	if status != 0 || !strings.Contains(out, "hub hub connected; no lag") {
		t.Errorf("check health of an edge: %d\n%s", status, out)
	}
}

// testNodesOfSites compares what a hub shows of nodes of the same names at two sites.
func testNodesOfSites(t *testing.T, hub *appliance.Appliance) {
	server := "http://" + hub.ConsoleAddress()
	const name = "node00000.example.net"
	status, _, errOut := muster(t, "node", name, "--server", server)
	if want := `several sites have a node "` + name + `": ams, fra; name one of them with --site`; status != 1 ||
		!strings.Contains(errOut, want) {
		t.Errorf("node: %d %s; want %s", status, errOut, want)
	}
	for _, site := range []string{"ams", "fra"} {
		status, out, errOut := muster(t, "node", name, "--site", site, "--server", server)
		if status != 0 || !strings.Contains(out, site+"; as of ") || !strings.Contains(out, "up since ") ||
			!strings.Contains(out, "registration ") {
			t.Errorf("node --site %s: %d\n%s%s", site, status, out, errOut)
		}
	}
	c := client(server)
	defer c.Close()
	var pages []string // of one node each
	for query := (apiclient.NodeQuery{Limit: 1}); ; {
		page, err := c.Nodes(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page.Nodes {
			pages = append(pages, n.Site+"/"+n.Name)
		}
		if query.After = page.Next; page.Next == "" {
			break
		}
	}
	slices.Sort(pages)
	if len(pages) != 2*siteNodes || len(slices.Compact(pages)) != 2*siteNodes {
		t.Errorf("pages of one node have %v", pages)
	}
	status, out, _ := muster(t, "nodes", "--site", "fra", "--csv", "--server", server)
	if status != 0 || strings.Count(out, ",fra,") != siteNodes || strings.Count(out, "\n") != siteNodes+1 {
		t.Errorf("nodes --site fra: %d\n%s", status, out)
	}
}

// testSiteDown compares what a hub shows of a site that is down.
func testSiteDown(t *testing.T, hub *appliance.Appliance) {
	server := "http://" + hub.ConsoleAddress()
	for args, want := range map[string]string{
		"sites fra":                             "fra.test, not connected",
		"nodes --format table --site fra":       "AS OF",
		"node node00000.example.net --site fra": "fra, which is down since ",
		"status":                                "3: 1 up, 1 down (fra), 1 waiting; see muster sites",
		"fleet":                                 "\nfra   down ",
	} {
		status, out, errOut := muster(t, append(strings.Fields(args), "--server", server)...)
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d\n%s%s; want %s", args, status, out, errOut, want)
		}
	}
	status, out, _ := muster(t, "check", "health", "--server", server)
	if status != 2 || !strings.Contains(out, "MUSTER CRITICAL sites 3: 1 up, 1 down (fra), 1 waiting") {
		t.Errorf("check health: %d\n%s", status, out)
	}
	wait.Eventually(t, func() error {
		_, out, errOut := muster(t, "events", "--server", server)
		downs, ofNodes := strings.Count(out, "  down       site fra: "), strings.Count(out, "(site fra): registered")
		if downs != 1 || ofNodes != siteNodes || strings.Count(out, "down ") != 1 {
			return errors.New(out + errOut)
		}
		return nil
	})
}
