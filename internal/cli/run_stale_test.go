package cli

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// TestRun_RefusesCopiesAfterItIsKilled has two nodes register, kills the appliance, and has another
// node publish copies of these registrations after the restart.
func TestRun_RefusesCopiesAfterItIsKilled(t *testing.T) {
	t.Parallel()
	site, err := enroll.Init(enroll.Options{Dir: t.TempDir(), Name: "127.0.0.1", Issuer: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files := site.Files()
	config := labConfig(t, t.TempDir(), fmt.Sprintf(
		"[broker.tls]\ncert = %q\nkey = %q\nca = %q\n[broker.issuers]\nchoria = %q\n"+
			"[adapter.registration]\nbind_sender = false\n",
		files.Cert, files.Key, files.CA, site.IssuerKey()))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	nodes := make([]*simnode.Node, 3)
	for i := range nodes {
		if nodes[i], err = simnode.NewNode(i, simnode.NodeOptions{Site: site, RSA: key}); err != nil {
			t.Fatal(err)
		}
	}
	const each = 4
	p := startProcess(t, config)
	var copies [][]byte
	for _, n := range nodes[:2] {
		var messages [][]byte
		for i := range each {
			_, raw, err := n.Registration(time.Now().Add(time.Duration(i-each) * time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			messages = append(messages, raw)
		}
		publishOver(t, p, n, site, messages)
		copies = append(copies, messages...)
	}
	waitMetric(t, p, `muster_adapter_stored_total{adapter="registration"} 8`)
	p.kill()
	p = startProcess(t, config)
	publishOver(t, p, nodes[2], site, copies)
	waitMetric(t, p, `muster_adapter_rejected_total{adapter="registration",reason="stale"} 8`)
}

// publishOver publishes messages over a connection of the node.
func publishOver(t *testing.T, p *process, over *simnode.Node, site *enroll.Site, messages [][]byte) {
	t.Helper()
	nc, err := nats.Connect(p.broker, over.Options(over.Identity, site.Roots())...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, raw := range messages {
		if err := nc.Publish(simnode.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// waitMetric waits until the metrics of an appliance have the line.
func waitMetric(t *testing.T, p *process, line string) {
	t.Helper()
	wait.Eventually(t, func() error {
		response, err := http.Get(p.console + "/metrics")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && !strings.Contains(string(text), "\n"+line+"\n") {
			err = fmt.Errorf("no line %s", line)
		}
		return err
	})
}
