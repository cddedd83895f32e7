package adapter_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestABurstIsStoredWholeOnceAndInOrder(t *testing.T) {
	const senders, connections = 2000, 20
	each := 10
	if testing.Short() {
		each = 2
	}
	a := testkit.Appliance(t, `
[stream.CHORIA_REGISTRATION]
max_msgs_per_subject = -1
`)
	// Each connection carries a hundred senders, so that the order of each is known.
	sent := make([]map[string]bool, connections)
	var wg sync.WaitGroup
	for c := range connections {
		nc := testkit.Connect(t, a)
		sent[c] = map[string]bool{}
		wg.Go(func() {
			for n := range each {
				for s := c; s < senders; s += connections {
					key, raw := testkit.Registration(t, fmt.Sprintf("node%d.example.net", s), n, 10)
					sent[c][key] = true
					if err := nc.Publish(testkit.Subject, raw); err != nil {
						t.Error(err)
					}
				}
			}
			if err := nc.FlushTimeout(time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	total := senders * each
	testkit.Settled(t, a, "registration", uint64(total))

	have := map[string]bool{}
	last := map[string]string{}
	for _, m := range testkit.Messages(t, testkit.JetStream(t, a), "CHORIA_REGISTRATION") {
		key := strings.TrimPrefix(m.Headers().Get("Nats-Msg-Id"), "registration/")
		if have[key] {
			t.Fatalf("%s is stored twice", key)
		}
		have[key] = true
		sender, id, _ := strings.Cut(key, "/")
		if id <= last[sender] {
			t.Fatalf("%s is stored after %s", key, last[sender])
		}
		last[sender] = id
	}
	missing := 0
	for _, keys := range sent {
		for key := range keys {
			if !have[key] {
				missing++
			}
		}
	}
	if missing > 0 || len(have) != total {
		t.Errorf("%d sent, %d stored, %d missing", total, len(have), missing)
	}
}

func TestARepeatedMessageIsADuplicate(t *testing.T) {
	a := testkit.Appliance(t, "")
	nc := testkit.Connect(t, a)
	for range 3 {
		_, raw := testkit.Registration(t, "web1", 7, 10)
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Settled(t, a, "registration", 3)
	if s := a.Stats()["registration"]; s.Stored != 1 || s.Duplicate != 2 {
		t.Errorf("have %+v", s)
	}
}

func TestMessagesThatAreTooLargeAreRejected(t *testing.T) {
	a := testkit.Appliance(t, "[stream.CHORIA_REGISTRATION]\nmax_msg_size = '4KiB'\n[broker]\nmax_payload = '64KiB'\n")
	nc := testkit.Connect(t, a)
	send := func(content int) {
		body, err := choria.FileBody("/facts", time.Unix(1, 0), false, make([]byte, content), false)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := choria.NewRegistration(fmt.Sprintf("%032d", content), "web1", "mcollective", time.Now(), body).EncodeV1(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	send(100)
	send(4 << 10) // more than the stream takes
	testkit.Settled(t, a, "registration", 2)
	if s := a.Stats()["registration"]; s.Stored != 1 || s.Rejected["too-large"] != 1 {
		t.Errorf("have %+v", s)
	}
}

func TestPlainRejectsWhatGrowsWithoutEnd(t *testing.T) {
	a := testkit.Appliance(t, every)
	nc := testkit.Connect(t, a)
	body, err := choria.FileBody("/dev/zero", time.Unix(1, 0), false, make([]byte, 64<<20), true)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := choria.NewRegistration(strings.Repeat("0", 32), "web1", "mcollective", time.Now(), body).EncodeV1(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish(testkit.Subject, raw); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "plain", 1)
	if s := a.Stats()["plain"]; s.Rejected["too-large"] != 1 {
		t.Errorf("have %+v", s)
	}
}

func TestMessagesThatFindNoRoomAreDroppedAndCounted(t *testing.T) {
	a := testkit.Appliance(t, `
[adapter.waiting]
queue_len = 3
ingest = {topic = "waiting", protocol = "request"}
stream = {topic = "nobody.takes.this"}
`)
	nc := testkit.Connect(t, a)
	for n := range 10 {
		_, raw := testkit.Registration(t, "web1", n, 10)
		if err := nc.Publish("waiting", raw); err != nil {
			t.Fatal(err)
		}
	}
	wait.Eventually(t, func() error {
		s := a.Stats()["waiting"]
		if s.Received != 10 || s.Dropped["buffer"] != 7 || s.Pending != 3 || !s.Balanced() {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	// The stream comes: what was held is stored, in order.
	js := testkit.JetStream(t, a)
	if _, err := js.CreateStream(t.Context(), streamConfig("LATE", "nobody.>")); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "waiting", 10)
	for n, m := range testkit.Messages(t, js, "LATE") {
		if want := fmt.Sprintf("waiting/web1/%032d", n); m.Headers().Get("Nats-Msg-Id") != want {
			t.Errorf("have %s, want %s", m.Headers().Get("Nats-Msg-Id"), want)
		}
	}
	if s := a.Stats()["waiting"]; s.Stored != 3 || s.Retries == 0 {
		t.Errorf("have %+v", s)
	}
}

func TestAnotherNATSTakesTheOutput(t *testing.T) {
	other := testkit.Appliance(t, "[adapter.registration]\nenabled = false\n")
	a := testkit.Appliance(t, fmt.Sprintf("[adapter.registration.stream]\nservers = [%q]\n", other.BrokerAddress()))
	nc := testkit.Connect(t, a, nats.Name("web1"))
	_, raw := testkit.Registration(t, "web1", 1, 10)
	if err := nc.Publish(testkit.Subject, raw); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", 1)
	if n := len(testkit.Messages(t, testkit.JetStream(t, other), "CHORIA_REGISTRATION")); n != 1 {
		t.Errorf("the other NATS has %d messages", n)
	}
	if n := len(testkit.Messages(t, testkit.JetStream(t, a), "CHORIA_REGISTRATION")); n != 0 {
		t.Errorf("this appliance has %d messages", n)
	}
}

func streamConfig(name, subject string) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: name, Subjects: []string{subject}}
}
