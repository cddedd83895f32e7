package appliance_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

func TestNotReady_NamesADeletedStream(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, "")
	var r readiness
	if status := testkit.GetJSON(t, a, "/readyz", &r); status != http.StatusOK || !r.Ready || len(r.Reasons) != 0 {
		t.Fatalf("%d %+v", status, r)
	}
	js := testkit.JetStream(t, a)
	if err := js.DeleteStream(t.Context(), contract.StreamRegistration); err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a)
	if err := nc.Publish(testkit.Subject, testkit.Raw(t, "v1-mtls/registration-file.transport.json")); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		r = readiness{}
		status := testkit.GetJSON(t, a, "/readyz", &r)
		if status != http.StatusServiceUnavailable || r.Ready || len(r.Reasons) != 1 ||
			r.Reasons[0].Code != "stream-unwritable" || r.Reasons[0].What != contract.StreamRegistration {
			return fmt.Errorf("%d %+v", status, r)
		}
		return nil
	})
	if _, err := js.CreateStream(t.Context(), streamConfig()); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", 1)
	status, body := testkit.Get(t, a, "/readyz")
	if status != http.StatusOK || body != `{"ready":true,"reasons":[],"warnings":[]}`+"\n" {
		t.Errorf("%d %s", status, body)
	}
}

// An edge goes on without its hub, so a hub that is not there is a warning.
func TestWarnings_NameAHubThatIsNotConnected(t *testing.T) {
	t.Parallel()
	hub := testkit.Appliance(t, hubText)
	edge := testkit.Appliance(t, edgeText(hub, "ams", "[forward.spare]\nservers = ['nats://127.0.0.1:1']\n"))
	wait.Eventually(t, func() error {
		var r readiness
		status := testkit.GetJSON(t, edge, "/readyz", &r)
		if status != http.StatusOK || !r.Ready || len(r.Warnings) != 1 || r.Warnings[0].Code != "hub-disconnected" ||
			r.Warnings[0].What != "spare" || !strings.HasPrefix(r.Warnings[0].Detail, "not connected since 20") ||
			!strings.Contains(r.Warnings[0].Detail, "connection refused; ") {
			return fmt.Errorf("%d %+v", status, r)
		}
		return nil
	})
}

func TestAppliance_HoldsMessagesWhileTheStreamIsGoneOrFull(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text          string
		fail, recover func(t *testing.T, js jetstream.JetStream)
		detail        string
	}{
		"deleted": {
			text: keepAll,
			fail: func(t *testing.T, js jetstream.JetStream) {
				if err := js.DeleteStream(t.Context(), contract.StreamRegistration); err != nil {
					t.Fatal(err)
				}
			},
			recover: func(t *testing.T, js jetstream.JetStream) {
				if _, err := js.CreateStream(t.Context(), streamConfig()); err != nil {
					t.Fatal(err)
				}
			},
			detail: "no stream stores the subject",
		},
		"full": {
			text:    keepAll + "discard = 'new'\n",
			fail:    func(t *testing.T, js jetstream.JetStream) { limitMessages(t, js, 50) },
			recover: func(t *testing.T, js jetstream.JetStream) { limitMessages(t, js, -1) },
			detail:  "maximum messages exceeded (10077)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := testkit.Appliance(t, test.text)
			js := testkit.JetStream(t, a)
			nc := testkit.Connect(t, a)
			test.fail(t, js)
			const sent = 500
			for n := range sent {
				_, raw := testkit.Registration(t, fmt.Sprintf("web%d", n%7), n, 100)
				if err := nc.Publish(testkit.Subject, raw); err != nil {
					t.Fatal(err)
				}
			}
			wait.Eventually(t, func() error {
				var r readiness
				testkit.GetJSON(t, a, "/readyz", &r)
				if s := a.Stats()["registration"]; s.Received != sent || len(r.Reasons) != 1 ||
					r.Reasons[0].Code != "stream-unwritable" || r.Reasons[0].Detail != test.detail {
					return fmt.Errorf("%+v %+v", r, s)
				}
				return nil
			})
			held := a.Stats()["registration"]
			if held.Pending < sent-50 || held.AllDropped()+held.AllRejected() != 0 {
				t.Errorf("held: %+v", held)
			}
			test.recover(t, js)
			testkit.Settled(t, a, "registration", sent)
			if s := a.Stats()["registration"]; s.Stored != sent || s.Retries == 0 {
				t.Errorf("have %+v", s)
			}
			if keys := testkit.Keys(t, js, contract.StreamRegistration); len(keys) != sent {
				t.Errorf("%d in the stream", len(keys))
			}
		})
	}
}

func limitMessages(t *testing.T, js jetstream.JetStream, maxMsgs int64) {
	t.Helper()
	s, err := js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxMsgs = maxMsgs
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestAppliance_SurvivesAFullDiskAndRecovers(t *testing.T) {
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
	stream, err := js.Stream(t.Context(), contract.StreamRegistration)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: "before", AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		t.Fatal(err)
	}
	nc := testkit.Connect(t, a)
	sent := 0
	fill := func(full func() bool) {
		for !full() {
			if err := nc.Publish(testkit.Subject, randomRegistration(t, fmt.Sprintf("web%d", sent%5), sent)); err != nil {
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

	// The fault: the disk is full, and /readyz reports it.
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
		t.Errorf("the cause is missing: %+v", r.Reasons)
	}
	stored := a.Stats()["registration"].Stored
	if pending := a.Stats()["registration"].Pending; pending == 0 {
		t.Error("no message is pending")
	}
	// Everything that was acknowledged can be read while the disk is full.
	if have := stream.CachedInfo(); have == nil {
		t.Error("no information about the stream")
	}
	read += drain(t, consumer)
	if uint64(read) < stored {
		t.Errorf("%d acknowledged, %d read while the disk was full", stored, read)
	}

	// The recovery: free space, without a restart.
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
	messages := testkit.Messages(t, js, contract.StreamRegistration)
	for _, m := range messages {
		sender, id, _ := strings.Cut(strings.TrimPrefix(m.Headers().Get(contract.HeaderMsgID), "registration/"), "/")
		if id <= last[sender] {
			t.Fatalf("%s of %s is stored after %s", id, sender, last[sender])
		}
		last[sender] = id
	}
	if len(messages) != sent {
		t.Errorf("%d sent, %d in the stream", sent, len(messages))
	}
	// The consumer continues where it was before the fault.
	if read += drain(t, consumer); read != sent {
		t.Errorf("the consumer has read %d of %d", read, sent)
	}
}

// smallDisk mounts a tmpfs of so many bytes and returns its directory. If mounting is not allowed
// it skips the test, or fails it if MUSTER_TEST_DISK is set.
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

// randomRegistration returns a registration of 8 KiB that the store cannot compress.
func randomRegistration(t *testing.T, sender string, n int) []byte {
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

// drain reads and acknowledges messages until the consumer has none, and returns how many.
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

// codes returns the set of the reasons' codes.
func codes(r readiness) map[string]bool {
	all := map[string]bool{}
	for _, reason := range r.Reasons {
		all[reason.Code] = true
	}
	return all
}
