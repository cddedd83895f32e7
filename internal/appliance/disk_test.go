package appliance_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

// smallDisk mounts a tmpfs of so many bytes. Where that is not allowed the test is skipped,
// but not where MUSTER_TEST_DISK says that it must run.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes))
	if err != nil {
		if os.Getenv("MUSTER_TEST_DISK") != "" {
			t.Fatalf("mount a small disk: %v", err)
		}
		t.Skipf("mount a small disk: %v; run as root, or under unshare -Urm", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// registration is one of 8 KiB that cannot be compressed away.
func registration(t *testing.T, sender string, n int) []byte {
	t.Helper()
	content := make([]byte, 6<<10)
	_, _ = rand.Read(content)
	body, err := choria.FileBody("/facts", time.Unix(1, 0), false, content, false)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := choria.NewRegistration(fmt.Sprintf("%032d", n), sender, "mcollective", time.Now(), body).EncodeV1(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAFullDiskCostsNoProcessAndHealsByItself(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, 24<<20)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 12<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testkit.Config(t, "[stream.CHORIA_REGISTRATION]\nmax_msgs_per_subject = -1\n")
	cfg.DataDir = dir
	a := testkit.Open(t, cfg)
	js := testkit.JetStream(t, a)
	stream, err := js.Stream(t.Context(), "CHORIA_REGISTRATION")
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "before", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a)
	sent := 0
	fill := func(full func() bool) {
		for !full() {
			if err := nc.Publish("mcollective.broadcast.agent.registration", registration(t, fmt.Sprintf("web%d", sent%5), sent)); err != nil {
				t.Fatal(err)
			}
			sent++
			if sent%20 == 0 {
				_ = nc.Flush()
				time.Sleep(5 * time.Millisecond)
			}
			if sent > 20_000 {
				t.Fatal("the disk does not fill up")
			}
		}
	}
	fill(func() bool { return a.Stats()["registration"].Stored >= 100 })
	read := drain(t, consumer)

	// The fault: the disk is full, and that is seen.
	var r readiness
	fill(func() bool {
		if sent%100 != 0 {
			return false
		}
		r = readiness{}
		testkit.GetJSON(t, a, "/readyz", &r)
		return codes(r)["stream-unwritable"]
	})
	t.Logf("full after %d messages: %+v", sent, r.Reasons)
	if !strings.Contains(fmt.Sprint(r.Reasons), "no space left") {
		t.Errorf("the cause is not named: %+v", r.Reasons)
	}
	stored := a.Stats()["registration"].Stored
	if pending := a.Stats()["registration"].Pending; pending == 0 {
		t.Error("nothing is held")
	}
	// All that was acknowledged can be read while the disk is full.
	if have := stream.CachedInfo(); have == nil {
		t.Error("no information about the stream")
	}
	read += drain(t, consumer)
	if uint64(read) < stored {
		t.Errorf("%d acknowledged, %d read while the disk was full", stored, read)
	}

	// The cure: no restart, only room.
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", uint64(sent))
	s := a.Stats()["registration"]
	if s.Stored != uint64(sent) || s.AllDropped() != 0 {
		t.Errorf("%d sent: %+v", sent, s)
	}
	wait.Eventually(t, func() error {
		r = readiness{}
		testkit.GetJSON(t, a, "/readyz", &r)
		if codes(r)["stream-unwritable"] {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	last := map[string]string{}
	messages := testkit.Messages(t, js, "CHORIA_REGISTRATION")
	for _, m := range messages {
		sender, id, _ := strings.Cut(strings.TrimPrefix(m.Headers().Get("Nats-Msg-Id"), "registration/"), "/")
		if id <= last[sender] {
			t.Fatalf("%s of %s is stored after %s", id, sender, last[sender])
		}
		last[sender] = id
	}
	if len(messages) != sent {
		t.Errorf("%d sent, %d in the stream", sent, len(messages))
	}
	// The consumer that was there before goes on where it was.
	if read += drain(t, consumer); read != sent {
		t.Errorf("the consumer has read %d of %d", read, sent)
	}
}

// drain reads and acknowledges what a consumer has to give.
func drain(t *testing.T, consumer jetstream.Consumer) int {
	t.Helper()
	read := 0
	for {
		batch, err := consumer.Fetch(500, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for m := range batch.Messages() {
			got++
			if err := m.DoubleAck(t.Context()); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
				t.Fatalf("acknowledge: %v", err)
			}
		}
		read += got
		if got == 0 {
			return read
		}
	}
}

func codes(r readiness) map[string]bool {
	all := map[string]bool{}
	for _, reason := range r.Reasons {
		all[reason.Code] = true
	}
	return all
}
