package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// beNode registers once and stays connected. Told to end, it says goodbye, as a server does.
func beNode(spec string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var index int
	var address string
	if _, err := fmt.Sscan(spec, &index, &address); err != nil {
		return 1
	}
	n, err := simnode.NewNode(index, simnode.Kind{})
	if err != nil {
		return 1
	}
	nc, err := nats.Connect(address, nats.Name(n.Identity), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return 1
	}
	defer nc.Close()
	_, raw, err := n.Registration(time.Now())
	if err != nil || nc.Publish(simnode.Subject, raw) != nil || nc.Flush() != nil {
		return 1
	}
	<-ctx.Done()
	event, err := choria.EncodeShutdown(n.Identity, "0", time.Now())
	if err != nil || nc.Publish(choria.ShutdownSubject, event) != nil || nc.Flush() != nil {
		return 1
	}
	return 0
}

// startNode runs a node in a process of its own.
func startNode(t *testing.T, index int, broker string) *os.Process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", asNode, index, broker))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	return cmd.Process
}

func summary(t *testing.T, console string) fleet.Summary {
	t.Helper()
	var s fleet.Summary
	getJSON(t, console+"/api/v1/fleet", &s)
	sum := 0
	for _, n := range s.States {
		sum += n
	}
	if sum != s.Nodes {
		t.Fatalf("the states do not add up: %+v", s)
	}
	return s
}

func node(t *testing.T, console string, index int) fleet.NodeStatus {
	t.Helper()
	var n fleet.NodeStatus
	getJSON(t, fmt.Sprintf("%s/api/v1/nodes/node%05d.example.net", console, index), &n)
	return n
}

// quick is a lab that finds out soon who has gone.
func quick(t *testing.T, rules ...string) (config string) {
	t.Helper()
	return writeConfig(t, "identity = 'lab'\ndata_dir = '"+t.TempDir()+"'\n[broker]\nlisten = '"+freeAddress(t)+"'\nping_interval = '1s'\n"+
		"[console]\nlisten = '127.0.0.1:0'\n[fleet]\ndisconnect_grace = '2s'\n"+strings.Join(rules, ""))
}

func TestNodesThatAreKilledFrozenOrStoppedAreToldApart(t *testing.T) {
	p := startProcess(t, quick(t))
	nodes := make([]*os.Process, 4) // the last is left alone
	for i := range nodes {
		nodes[i] = startNode(t, i, p.broker)
	}
	wait.Eventually(t, func() error {
		if s := summary(t, p.console); s.States[fleet.Up] != len(nodes) {
			return fmt.Errorf("%v", s.States)
		}
		for i := range nodes {
			if n := node(t, p.console, i); n.Connection.Connected != "yes" || n.Connection.Verified {
				return fmt.Errorf("%+v", n)
			}
		}
		return nil
	})
	began := time.Now()
	for i, signal := range []os.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM} {
		if err := nodes[i].Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	const grace, ping = 2 * time.Second, time.Second
	for i, want := range []struct {
		state  fleet.State
		within time.Duration
	}{
		{fleet.Down, grace + 2*time.Second},
		{fleet.Down, 4*ping + grace + 2*time.Second},
		{fleet.Stopped, grace + 2*time.Second},
		{fleet.Up, 0},
	} {
		wait.Eventually(t, func() error {
			if n := node(t, p.console, i); n.State != want.state {
				return fmt.Errorf("node %d is %s: %s", i, n.State, n.Reason)
			}
			return nil
		})
		n := node(t, p.console, i)
		t.Logf("node %d: %s %s after the signal, its connection ended after %s: %s", i, n.State, time.Since(began), n.Connection.Ended.Sub(began), n.Reason)
		if n.State == fleet.Down && n.Connection.Ended.Sub(began) > want.within {
			t.Errorf("node %d was found to be gone only after %s", i, n.Connection.Ended.Sub(began))
		}
	}
	// The commands say the same.
	status, out, _ := muster(t, "nodes", "--server", p.console, "--state", "down")
	if status != 0 || out != "node00000.example.net\nnode00001.example.net\n" {
		t.Errorf("nodes --state down: %d %s", status, out)
	}
	status, out, _ = muster(t, "node", "--server", p.console, "node00002.example.net")
	if status != 0 || !strings.Contains(out, "stopped since") {
		t.Errorf("node: %d %s", status, out)
	}
	if status, _, errOut := muster(t, "node", "--server", p.console, "nosuch"); status != 1 || !strings.Contains(errOut, `no node "nosuch" has registered`) {
		t.Errorf("node nosuch: %d %s", status, errOut)
	}
	status, out, _ = muster(t, "events", "--server", p.console, "--json")
	counts := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var e fleet.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		counts[e.Event]++
	}
	if status != 0 || counts["new"] != 4 || counts["down"] != 2 || counts["stopped"] != 1 {
		t.Errorf("events: %d %v", status, counts)
	}
	status, out, _ = muster(t, "fleet", "--server", p.console)
	if status != 0 || !strings.Contains(out, "did not reconnect within 2s") {
		t.Errorf("fleet: %d %s", status, out)
	}
}
