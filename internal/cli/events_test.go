package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestEventsAreFollowedThroughARestart(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "identity = 'lab'\ndata_dir = '"+t.TempDir()+"'\n[broker]\nlisten = '"+freeAddress(t)+"'\n[console]\nlisten = '"+freeAddress(t)+"'\n")
	p := startProcess(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	out, errOut, done := &buffer{}, &buffer{}, make(chan int, 1)
	go func() { done <- Run(ctx, []string{"events", "--follow", "--server", p.console}, out, errOut) }()
	told := func(nodes int) {
		t.Helper()
		wait.Eventually(t, func() error {
			for i := range nodes {
				if n := strings.Count(out.String(), fmt.Sprintf("new        node%05d.example.net: ", i)); n != 1 {
					return fmt.Errorf("node %d is told of %d times in:\n%s%s", i, n, out, errOut)
				}
			}
			return nil
		})
	}
	connectNodes(t, p.broker, 5, simnode.Kind{})
	told(5)
	p.kill()
	p = startProcess(t, config)
	connectNodes(t, p.broker, 8, simnode.Kind{}) // three of them new
	told(8)
	cancel()
	if status := <-done; status != 0 || !strings.Contains(errOut.String(), "reconnecting") {
		t.Errorf("status %d, %s", status, errOut)
	}
	// Those that are stored, on their own.
	status, all, _ := muster(t, "events", "--server", p.console, "--since", "1h")
	if lines := strings.Count(all, "\n"); status != 0 || lines != strings.Count(out.String(), "\n") {
		t.Errorf("--since 1h: status %d, %d lines:\n%s", status, lines, all)
	}
	// With none in the time that is asked for, it goes on with those that come.
	ctx, cancel = context.WithCancel(t.Context())
	out = &buffer{}
	go func() {
		done <- Run(ctx, []string{"events", "--since", "1ms", "--follow", "--server", p.console}, out, &buffer{})
	}()
	index := 100
	wait.Eventually(t, func() error { // until it listens
		index++
		process := startNode(t, index, p.broker)
		defer process.Kill()
		time.Sleep(50 * time.Millisecond)
		if !strings.Contains(out.String(), "new ") {
			return errors.New("nothing came")
		}
		return nil
	})
	cancel()
	if status := <-done; status != 0 || strings.Contains(out.String(), "node00000.example.net") {
		t.Errorf("status %d, what is long past is told of:\n%s", status, out)
	}
	for _, args := range [][]string{{"--since", "-1h"}, {"--since", "1"}, {"--limit", "0"}, {"--since", "1h", "--limit", "5"}} {
		if status, _, errOut := muster(t, append([]string{"events", "--server", p.console}, args...)...); status != 2 {
			t.Errorf("%v: status %d, %s", args, status, errOut)
		}
	}
}
