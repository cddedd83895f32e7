package cli

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

func TestWhoIsTurnedAwayIsSaid(t *testing.T) {
	p := startProcess(t, quick(t))
	if status, out, errOut := muster(t, "rejected", "--server", p.console); status != 0 || out != "" || !strings.Contains(errOut, "no connection was refused") {
		t.Errorf("at first: %d %s%s", status, out, errOut)
	}
	nc, err := nats.Connect(p.broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for range 3 {
		if err := nc.Publish(simnode.Subject, []byte("no JSON")); err != nil {
			t.Fatal(err)
		}
	}
	wait.Eventually(t, func() error {
		var answer console.Rejected
		getJSON(t, p.console+"/api/v1/rejected", &answer)
		if len(answer.Cases) != 1 || answer.Cases[0].Count != 3 || answer.Cases[0].Reason != "malformed" || answer.Cases[0].First.IsZero() {
			return fmt.Errorf("%+v", answer)
		}
		return nil
	})
	if status, _, errOut := muster(t, "rejected", "--server", p.broker); status != 1 || !strings.Contains(errOut, "does not speak HTTP") || strings.Count(errOut, "\n") != 1 {
		t.Errorf("the nodes' port: %d %s", status, errOut)
	}
	status, out, _ := muster(t, "rejected", "--server", p.console)
	if lines := strings.Split(out, "\n"); status != 0 || len(lines) != 3 || !strings.Contains(lines[1], "adapter registration") || !strings.Contains(lines[1], "malformed") {
		t.Errorf("%d %s", status, out)
	}
}

func TestWhoComesWithoutACertificateIsSaid(t *testing.T) {
	dir := t.TempDir()
	if status, _, errOut := muster(t, "init", "--dir", dir, "--name", "127.0.0.1", "--listen", freeAddress(t)); status != 0 {
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
	_, err = nats.Connect("tls://"+strings.TrimPrefix(p.broker, "tls://"), nats.Name("web1.example.net"), nats.Secure(&tls.Config{InsecureSkipVerify: true}))
	if err == nil {
		t.Fatal("let in")
	}
	wait.Eventually(t, func() error {
		var answer console.Rejected
		getJSON(t, p.console+"/api/v1/rejected", &answer)
		for _, c := range answer.Cases {
			if c.By == "broker" && c.Name == "web1.example.net" && c.Address != "" && c.Reason == "no-credentials" {
				return nil
			}
		}
		return fmt.Errorf("%+v", answer)
	})
}
