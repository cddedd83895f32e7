package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestEvents_FollowedThroughARestart(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "identity = 'lab'\ndata_dir = '"+t.TempDir()+"'\n"+
		"[broker]\nlisten = '"+freeAddress(t)+"'\n[console]\nlisten = '"+freeAddress(t)+"'\n")
	p := startProcess(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	out, errOut, done := &buffer{}, &buffer{}, make(chan int, 1)
	go func() { done <- Run(ctx, []string{"events", "--follow", "--server", p.console}, out, errOut) }()
	eachOnce := func(nodes int) { // waits until the "new" event of each node is printed, and printed once
		t.Helper()
		wait.Eventually(t, func() error {
			for i := range nodes {
				if n := strings.Count(out.String(), fmt.Sprintf("new        node%05d.example.net: ", i)); n != 1 {
					return fmt.Errorf("%d events of node %d in:\n%s%s", n, i, out, errOut)
				}
			}
			return nil
		})
	}
	connectNodes(t, p.broker, 5, simnode.NodeOptions{})
	eachOnce(5)
	p.kill()
	p = startProcess(t, config)
	connectNodes(t, p.broker, 8, simnode.NodeOptions{}) // three of them new
	eachOnce(8)
	cancel()
	if status := <-done; status != 0 || !strings.Contains(errOut.String(), "reconnecting") {
		t.Errorf("status %d, %s", status, errOut)
	}
	status, all, _ := muster(t, "events", "--server", p.console, "--since", "1h")
	if lines := strings.Count(all, "\n"); status != 0 || lines != strings.Count(out.String(), "\n") {
		t.Errorf("--since 1h: status %d, %d lines, not those that were followed:\n%s", status, lines, all)
	}
}

// With no stored event in the time of --since, --follow begins with the events to come.
func TestEvents_FollowSkipsEventsBeforeSince(t *testing.T) {
	t.Parallel()
	p := startProcess(t, fastLabConfig(t))
	connectNodes(t, p.broker, 1, simnode.NodeOptions{})
	wait.Eventually(t, func() error {
		if s := summary(t, p.console); s.Events.Stored == 0 {
			return errors.New("no event is stored")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	out, done := &buffer{}, make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"events", "--since", "1ms", "--follow", "--server", p.console}, out, &buffer{})
	}()
	index := 100
	wait.Eventually(t, func() error { // until the command listens, and an event comes after that
		index++
		registered := func() int {
			s := summary(t, p.console)
			return s.Nodes - s.States[fleet.Connected]
		}
		before := registered()
		process := startNode(t, index, p.broker)
		defer func() { _ = process.Kill() }()
		wait.Eventually(t, func() error {
			if registered() == before {
				return errors.New("the node did not register")
			}
			return nil
		})
		time.Sleep(50 * time.Millisecond)
		if !strings.Contains(out.String(), "new ") {
			return errors.New("no event was printed")
		}
		return nil
	})
	cancel()
	if status := <-done; status != 0 || strings.Contains(out.String(), "node00000.example.net") {
		t.Errorf("status %d, an event before --since was printed:\n%s", status, out)
	}
}

func TestEvents_UsageErrors(t *testing.T) {
	for args, want := range map[string]string{
		"--since -1h":          `--since "-1h" is in the future`,
		"--since 1":            `--since "1" `,
		"--limit 0":            "--limit 0: want 1 to 10000",
		"--since 1h --limit 5": "--since and --limit",
	} {
		t.Run(args, func(t *testing.T) {
			status, _, errOut := muster(t, append([]string{"events"}, strings.Fields(args)...)...)
			if status != 2 || !strings.Contains(errOut, want) {
				t.Errorf("status %d, %s; want %s", status, errOut, want)
			}
		})
	}
}
