package cli

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestDemo_LedgerBalancesOnTheNextFreePort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:4222")
	if err == nil {
		defer taken.Close()
	}
	status, out, errOut := muster(t, "demo", "--nodes", "20", "--interval", "200ms", "--for", "2s")
	if status != 0 || !strings.Contains(out, "the ledger balances") || errOut != "" {
		t.Errorf("status %d\n%s\n%s", status, out, errOut)
	}
	if strings.Contains(out, "nats://127.0.0.1:4222\n") {
		t.Errorf("it uses a port that is in use:\n%s", out)
	}
	m := regexp.MustCompile(`ledger: (\d+) received = (\d+) stored`).FindStringSubmatch(out)
	if m == nil || m[1] == "0" || m[1] != m[2] {
		t.Errorf("ledger %v in\n%s", m, out)
	}
	if strings.ContainsAny(out, "\r\033") {
		t.Errorf("control characters, but the output is not a terminal: %q", out)
	}
}

func TestDemo_EndsWhenCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := &buffer{}
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"demo", "--nodes", "5", "--interval", "100ms"}, out, &buffer{})
	}()
	wait.Eventually(t, func() error {
		if !strings.Contains(out.String(), "5 nodes connected") {
			return errors.New(out.String())
		}
		return nil
	})
	cancel()
	select {
	case status := <-done:
		if status != 0 || !strings.Contains(out.String(), "the ledger balances") {
			t.Errorf("status %d\n%s", status, out)
		}
	case <-time.After(time.Minute):
		t.Fatal("the demo does not end")
	}
}

// TestDemo_SitesForwardEverything runs a hub and two edges. Nodes register several times and their facts do not change,
// so that each is forwarded once.
func TestDemo_SitesForwardEverything(t *testing.T) {
	status, out, errOut := muster(t, "demo", "--sites", "2", "--nodes", "11", "--interval", "300ms", "--for", "3s")
	if status != 0 || !strings.Contains(out, "the ledger balances") || errOut != "" {
		t.Errorf("status %d\n%s\n%s", status, out, errOut)
	}
	m := regexp.MustCompile(`CHORIA_REGISTRATION (\d+) read = (\d+) forwarded`).FindStringSubmatch(out)
	stored := regexp.MustCompile(`= (\d+) stored`).FindStringSubmatch(out)
	if m == nil || stored == nil || m[1] != stored[1] || m[2] != "11" {
		t.Errorf("%v of %v stored in\n%s", m, stored, out)
	}
	for _, want := range []string{"the edge of ams", "the edge of fra", "sites --server", "11 nodes of 2 sites"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// TestDemo_ProvisionsEveryNode starts nodes without an identity. Each gets its token and registers.
func TestDemo_ProvisionsEveryNode(t *testing.T) {
	status, out, errOut := muster(t, "demo", "--provision", "--nodes", "12", "--interval", "100ms", "--for", "1s")
	if status != 0 || !strings.Contains(out, "the ledger balances") || errOut != "" {
		t.Errorf("status %d\n%s\n%s", status, out, errOut)
	}
	if !strings.Contains(out, "12 nodes provisioned") || !strings.Contains(out, "\n12 up  0 late  0 down") {
		t.Errorf("not every node is provisioned and up:\n%s", out)
	}
}

func TestDemo_RefusesFlagsThatConflict(t *testing.T) {
	for _, args := range [][]string{{"--sites", "21"}, {"--sites", "-1"}, {"--sites", "3", "--nodes", "2"},
		{"--sites", "3", "--tls"}, {"--provision", "--sites", "3"}, {"--provision", "--tls"}} {
		if status, _, errOut := muster(t, append([]string{"demo"}, args...)...); status != statusUsage {
			t.Errorf("%v: status %d %s", args, status, errOut)
		}
	}
}

func TestDemo_FailsIfAMessageIsUnaccountedFor(t *testing.T) {
	for name, test := range map[string]struct {
		stats  adapter.Stats
		sent   uint64
		status int
	}{
		"all stored": {adapter.Stats{Received: 3, Stored: 3}, 3, statusOK},
		"some dropped": {
			adapter.Stats{Received: 3, Stored: 1, Dropped: map[string]uint64{"buffer": 2}}, 3, statusOK,
		},
		"one not received":    {adapter.Stats{Received: 2, Stored: 2}, 3, statusFailed},
		"one too many":        {adapter.Stats{Received: 4, Stored: 4}, 3, statusFailed},
		"one pending":         {adapter.Stats{Received: 3, Stored: 2, Pending: 1}, 3, statusFailed},
		"one without outcome": {adapter.Stats{Received: 3, Stored: 2}, 3, statusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			p := &program{out: &buffer{}, err: &buffer{}}
			err := (&demo{program: p}).printLedger(test.stats, test.sent, 0)
			if status := p.reportError(err); status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
		})
	}
}
