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
	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// runNode is the main function of a simulated node: it registers once and stays connected. On SIGTERM
// it publishes a shutdown event, as a Choria server does. spec is its index and the broker's address.
func runNode(spec string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var index int
	var address string
	if _, err := fmt.Sscan(spec, &index, &address); err != nil {
		return 1
	}
	n, err := simnode.NewNode(index, simnode.NodeOptions{})
	if err != nil {
		return 1
	}
	nc, err := nats.Connect(address, nats.Name(n.Identity),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
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

// startNode runs a simulated node in a process of its own.
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

// client returns a client of the console at a URL.
func client(console string) *apiclient.Client { return apiclient.New(apiclient.Options{URL: console}) }

// summary returns the fleet view in numbers, and checks that they add up.
func summary(t *testing.T, console string) fleet.Summary {
	t.Helper()
	c := client(console)
	defer c.Close() // the console admits only so many connections from one address
	s, err := c.Fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, n := range s.States {
		sum += n
	}
	if sum != s.Nodes {
		t.Fatalf("the states do not add up: %+v", s)
	}
	return s
}

// node returns the simulated node with this index.
func node(t *testing.T, console string, index int) fleet.Detail {
	t.Helper()
	c := client(console)
	defer c.Close()
	n, err := c.Node(t.Context(), fleet.NodeID{Name: fmt.Sprintf("node%05d.example.net", index)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fastLabConfig returns the configuration of a lab that notices within seconds that a node is gone.
// rules are added to [fleet].
func fastLabConfig(t *testing.T, rules ...string) (config string) {
	t.Helper()
	return writeConfig(t, "identity = 'lab'\ndata_dir = '"+t.TempDir()+"'\n"+
		"[broker]\nlisten = '"+freeAddress(t)+"'\nping_interval = '1s'\n"+
		"[console]\nlisten = '127.0.0.1:0'\n[fleet]\ndisconnect_grace = '2s'\n"+strings.Join(rules, ""))
}

func TestFleet_ShowsKilledFrozenAndStoppedNodes(t *testing.T) {
	t.Parallel()
	const grace, ping = 2 * time.Second, time.Second // as fastLabConfig configures them
	p := startProcess(t, fastLabConfig(t))
	nodes := []struct {
		signal os.Signal // nil: the node is left alone
		state  fleet.State
		within time.Duration // from the signal to the end of the connection, for nodes that go down

		process *os.Process
	}{
		{signal: syscall.SIGKILL, state: fleet.Down, within: grace + 2*time.Second},
		{signal: syscall.SIGSTOP, state: fleet.Down, within: 4*ping + grace + 2*time.Second},
		{signal: syscall.SIGTERM, state: fleet.Stopped},
		{state: fleet.Up},
	}
	for i := range nodes {
		nodes[i].process = startNode(t, i, p.broker)
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
	for _, n := range nodes {
		if n.signal != nil {
			if err := n.process.Signal(n.signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, want := range nodes {
		wait.Eventually(t, func() error {
			if n := node(t, p.console, i); n.State != want.state {
				return fmt.Errorf("node %d is %s: %s", i, n.State, n.Reason)
			}
			return nil
		})
		n := node(t, p.console, i)
		ended := n.Connection.Ended.Sub(began)
		t.Logf("node %d: %s %s after the signal, its connection ended after %s: %s",
			i, n.State, time.Since(began), ended, n.Reason)
		if n.State == fleet.Down && ended > want.within {
			t.Errorf("the connection of node %d ended only after %s", i, ended)
		}
	}
	testFleetCommands(t, p.console)
}

// testFleetCommands compares what the commands print with the states of
// TestFleet_ShowsKilledFrozenAndStoppedNodes.
func testFleetCommands(t *testing.T, console string) {
	status, out, _ := muster(t, "nodes", "--server", console, "--state", "down")
	if status != 0 || out != "node00000.example.net\nnode00001.example.net\n" {
		t.Errorf("nodes --state down: %d %s", status, out)
	}
	status, out, _ = muster(t, "node", "--server", console, "node00002.example.net")
	if status != 0 || !strings.Contains(out, "stopped since") {
		t.Errorf("node: %d %s", status, out)
	}
	status, _, errOut := muster(t, "node", "--server", console, "nosuch")
	if status != 1 || !strings.Contains(errOut, `no node "nosuch" has registered`) {
		t.Errorf("node nosuch: %d %s", status, errOut)
	}
	status, out, _ = muster(t, "events", "--server", console, "--json")
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
	status, out, _ = muster(t, "fleet", "--server", console)
	if status != 0 || !strings.Contains(out, "did not reconnect within 2s") {
		t.Errorf("fleet: %d %s", status, out)
	}
}
