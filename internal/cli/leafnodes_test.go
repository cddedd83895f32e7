package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/console"
)

func TestLeafnodeText(t *testing.T) {
	since := time.Now().Add(-2 * time.Minute)
	for want, l := range map[string]console.Leafnode{
		"NOT CONNECTED, to tls://hub:7422: Authorization Violation": {
			Remote: true, URLs: []string{"tls://hub:7422"}, Allow: "clients", Error: "Authorization Violation",
		},
		"connected since 2 minutes ago, from 192.0.2.1; requests to its nodes cross, 3 messages received, 7 sent, " +
			"round trip 1.5ms": {
			Allow: "nodes", Connected: true, Since: since, Address: "192.0.2.1", Received: 3, Sent: 7, RoundTripMS: 1.52,
		},
		"NOT CONNECTED": {Allow: "both"},
	} {
		if have := leafnodeText(l); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
}

// TestExamples_LeafnodesEnrolls follows examples/leafnodes: its command makes the files that site.toml names.
func TestExamples_LeafnodesEnrolls(t *testing.T) {
	const site = "collector1.ams.example.net"
	dir := filepath.Join(t.TempDir(), "hub")
	if status, _, errOut := muster(t, "init", "--dir", dir, "--name", "collector1.example.net"); status != statusOK {
		t.Fatal(errOut)
	}
	page, err := os.ReadFile("../../examples/leafnodes/README.md")
	if err != nil {
		t.Fatal(err)
	}
	enrolled := false
	for line := range strings.Lines(string(page)) {
		args := documentedArgs(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "/etc/muster", dir))
		if len(args) == 0 || args[0] != "enroll" {
			continue
		}
		enrolled = true
		if status, out, errOut := muster(t, args...); status != statusOK {
			t.Fatalf("%s: %d %s%s", args, status, out, errOut)
		}
	}
	text, err := os.ReadFile("../../examples/leafnodes/site.toml")
	if err != nil || !enrolled {
		t.Fatalf("enrolled %v, %v", enrolled, err)
	}
	config := writeConfig(t, strings.ReplaceAll(string(text), "/etc/muster", filepath.Join(dir, "edges", site)))
	if status, out, errOut := muster(t, "check", "--config", config); status != statusOK {
		t.Errorf("%d %s%s", status, out, errOut)
	}
}
