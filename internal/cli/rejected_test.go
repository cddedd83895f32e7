package cli

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

func TestRejected_ListsRejectedMessages(t *testing.T) {
	p := startProcess(t, fastLabConfig(t))
	status, out, errOut := muster(t, "rejected", "--server", p.console)
	if status != 0 || out != "" || !strings.Contains(errOut, "no connection was refused and no message rejected") {
		t.Errorf("at first: %d %s%s", status, out, errOut)
	}
	nc, err := nats.Connect(p.broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for range 3 {
		if err := nc.Publish(simnode.Subject, []byte("not JSON")); err != nil {
			t.Fatal(err)
		}
	}
	wait.Eventually(t, func() error {
		c := client(p.console)
		defer c.Close()
		answer, err := c.Rejected(t.Context())
		if err != nil {
			return err
		}
		if len(answer.Entries) != 1 || answer.Entries[0].Count != 3 || answer.Entries[0].First.IsZero() ||
			answer.Entries[0].Reason != contract.ReasonMalformed {
			return fmt.Errorf("%+v", answer)
		}
		return nil
	})
	status, out, _ = muster(t, "rejected", "--server", p.console)
	if lines := strings.Split(out, "\n"); status != 0 || len(lines) != 3 ||
		!strings.Contains(lines[1], "adapter registration") || !strings.Contains(lines[1], contract.ReasonMalformed) {
		t.Errorf("%d %s", status, out)
	}
	status, _, errOut = muster(t, "rejected", "--server", p.broker)
	if status != 1 || !strings.Contains(errOut, "does not use HTTP") || strings.Count(errOut, "\n") != 1 {
		t.Errorf("--server with the port of the broker: %d %s", status, errOut)
	}
}

func TestRejected_ListsConnectionsWithoutCertificate(t *testing.T) {
	dir := t.TempDir()
	status, _, errOut := muster(t, "init", "--dir", dir, "--name", "127.0.0.1", "--listen", freeAddress(t))
	if status != 0 {
		t.Fatal(errOut)
	}
	config := filepath.Join(dir, "appliance.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append(text, "\n[console]\nlisten = '127.0.0.1:0'\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, config)
	address := "tls://" + strings.TrimPrefix(p.broker, "tls://")
	_, err = nats.Connect(address, nats.Name("web1.example.net"), nats.Secure(&tls.Config{InsecureSkipVerify: true}))
	if err == nil {
		t.Fatal("a client without a certificate was admitted")
	}
	wait.Eventually(t, func() error {
		c := client(p.console)
		defer c.Close()
		answer, err := c.Rejected(t.Context())
		if err != nil {
			return err
		}
		for _, e := range answer.Entries {
			if e.By == "broker" && e.Name == "web1.example.net" && e.Address != "" && e.Reason == "no-credentials" {
				return nil
			}
		}
		return fmt.Errorf("%+v", answer)
	})
}

func TestRejected_ListsRefusedPermissions(t *testing.T) {
	p := startProcess(t, fastLabConfig(t))
	nc, err := nats.Connect(p.broker, nats.Name("web1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if err := nc.Publish("$NRG.x", nil); err != nil { // the only refusal in a lab
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	status, out, errOut := muster(t, "rejected", "--permissions", "--server", p.console)
	lines := strings.Split(out, "\n")
	if status != 0 || len(lines) != 3 || !strings.Contains(lines[1], "$NRG.x") ||
		!strings.HasSuffix(lines[1], "nothing allows it") {
		t.Errorf("%d %s%s", status, out, errOut)
	}
	_, _, errOut = muster(t, "rejected", "--server", p.console)
	if !strings.Contains(errOut, "refused for lack of permission: 1; muster rejected --permissions lists them") {
		t.Errorf("%s", errOut)
	}
	waitMetric(t, p, `muster_broker_permission_violations_total{kind="publish"} 1`)
}
