package appliance_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/muster-appliance/muster/internal/uplink"
)

// The file system of the hub is full, and has space again later. Neither appliance is restarted.
func TestEdge_TheDiskOfTheHubIsFull(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("fills a disk")
	}
	dir := smallDisk(t, 24<<20)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 12<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	const unlimited = "[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n"
	cfg := testkit.Config(t, hubText+unlimited)
	cfg.DataDir = dir
	hub := testkit.Open(t, cfg)
	edge := testkit.Appliance(t, edgeText(hub, "ams", unlimited))
	nc := testkit.Connect(t, edge)
	sent := 0
	state := func() uplink.Stream { return edge.Forwards()[0].Streams[contract.StreamRegistration] }
	for s := state(); s.Stalled == "" || s.Pending == 0; s = state() {
		time.Sleep(10 * time.Millisecond)
		if s.Pending >= 100 { // enough for a full disk; otherwise the hub catches up
			continue
		}
		for range 10 {
			raw := randomRegistration(t, fmt.Sprintf("web%d", sent%20), sent)
			if err := nc.Publish(testkit.Subject, raw); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		if sent > 20_000 {
			t.Fatalf("the disk does not fill up: %+v", s)
		}
	}
	testkit.Settled(t, edge, "registration", uint64(sent))
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		s := state()
		if s.Forwarded+s.Duplicate != uint64(sent) || !s.Balanced() {
			return fmt.Errorf("%d sent: %+v", sent, s)
		}
		return nil
	})
	have := forwardedIDs(t, hub, "ams")
	if n := len(slices.Compact(slices.Sorted(slices.Values(have)))); n != sent || len(have) != sent {
		t.Errorf("%d sent, the hub has %d messages, %d different ones", sent, len(have), n)
	}
}
