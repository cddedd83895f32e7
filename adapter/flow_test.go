package adapter_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var mutations = flag.Int("mutations", 10_000, "how many mutated captures are sent")

func TestAdapter_StoresABurstOnceAndInOrder(t *testing.T) {
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
	for _, m := range testkit.Messages(t, testkit.JetStream(t, a), contract.StreamRegistration) {
		key := strings.TrimPrefix(m.Headers().Get(contract.HeaderMsgID), "registration/")
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

func TestAdapter_CountsARepeatedMessageAsDuplicate(t *testing.T) {
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

func TestAdapter_RejectsWhatTheStreamFindsTooLarge(t *testing.T) {
	a := testkit.Appliance(t, "[stream.CHORIA_REGISTRATION]\nmax_msg_size = '4KiB'\n[broker]\nmax_payload = '64KiB'\n")
	nc := testkit.Connect(t, a)
	send := func(content int) {
		body, err := choria.FileBody("/facts", time.Unix(1, 0), false, make([]byte, content), false)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("%032d", content)
		raw, err := choria.NewRegistration(id, "web1", "mcollective", time.Now(), body).EncodeV1(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	send(100)
	send(4 << 10) // more than the stream stores
	testkit.Settled(t, a, "registration", 2)
	if s := a.Stats()["registration"]; s.Stored != 1 || s.Rejected[contract.ReasonTooLarge] != 1 {
		t.Errorf("have %+v", s)
	}
}

func TestAdapter_DropsMessagesBeyondQueueLen(t *testing.T) {
	t.Parallel()
	a := testkit.Appliance(t, `
[adapter.waiting]
queue_len = 3
ingest = {topic = "waiting", protocol = "request"}
stream = {topic = "late.registrations"}
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
		if s.Received != 10 || s.Dropped[contract.ReasonBuffer] != 7 || s.Pending != 3 || !s.Balanced() {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	// Once there is a stream, the pending messages are stored, in order.
	js := testkit.JetStream(t, a)
	if _, err := js.CreateStream(t.Context(), streamConfig("LATE", "late.>")); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "waiting", 10)
	for n, m := range testkit.Messages(t, js, "LATE") {
		if want := fmt.Sprintf("waiting/web1/%032d", n); m.Headers().Get(contract.HeaderMsgID) != want {
			t.Errorf("have %s, want %s", m.Headers().Get(contract.HeaderMsgID), want)
		}
	}
	if s := a.Stats()["waiting"]; s.Stored != 3 || s.Retries == 0 {
		t.Errorf("have %+v", s)
	}
}

func TestAdapter_PublishesToAnotherNATS(t *testing.T) {
	other := testkit.Appliance(t, "[adapter.registration]\nenabled = false\n")
	a := testkit.Appliance(t, fmt.Sprintf("[adapter.registration.stream]\nservers = [%q]\n", other.BrokerAddress()))
	nc := testkit.Connect(t, a, nats.Name("web1"))
	_, raw := testkit.Registration(t, "web1", 1, 10)
	if err := nc.Publish(testkit.Subject, raw); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "registration", 1)
	if n := len(testkit.Messages(t, testkit.JetStream(t, other), contract.StreamRegistration)); n != 1 {
		t.Errorf("the other NATS server has %d messages", n)
	}
	if n := len(testkit.Messages(t, testkit.JetStream(t, a), contract.StreamRegistration)); n != 0 {
		t.Errorf("this appliance has %d messages", n)
	}
}

func streamConfig(name, subject string) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: name, Subjects: []string{subject}}
}

// mutate returns a copy of a message with one to four random changes.
func mutate(r *rand.Rand, raw []byte) []byte {
	out := append([]byte{}, raw...)
	for range 1 + r.IntN(4) {
		if len(out) == 0 {
			return out
		}
		at := r.IntN(len(out))
		switch r.IntN(6) {
		case 0:
			out[at] = byte(r.IntN(256))
		case 1:
			out[at] ^= 1 << r.IntN(8)
		case 2:
			out = out[:at]
		case 3:
			out = append(out[:at], out[min(len(out), at+1+r.IntN(8)):]...)
		case 4:
			piece := append([]byte{}, out[at:min(len(out), at+1+r.IntN(64))]...)
			out = append(out[:at], append(piece, out[at:]...)...)
		case 5:
			word := []string{"null", "{}", "[]", `""`, "-1", "1e999", `"\ud800"`, "\xff", ">"}[r.IntN(9)]
			out = append(out[:at], append([]byte(word), out[min(len(out), at+len(word)):]...)...)
		}
	}
	return out
}

// transportV1 wraps a secure message in a transport message of protocol 1.
func transportV1(secure string) []byte {
	data := base64.StdEncoding.EncodeToString([]byte(secure))
	return fmt.Appendf(nil, `{"protocol":"choria:transport:1","data":%q}`, data)
}

func TestAdapter_AccountsForMutatedMessages(t *testing.T) {
	a := testkit.Appliance(t, allCaptures)
	node := testkit.Connect(t, a)
	captures := testkit.Captures(t, "registration", "transport", "hostile")
	const seed = 20261123
	r := rand.New(rand.NewPCG(seed, seed))
	subjects := []string{"mcollective.broadcast.agent.registration", "mcollective.reply.mutated"}
	sent := map[string]uint64{}
	send := func(subject string, raw []byte) {
		t.Helper()
		if err := node.Publish(subject, raw); err != nil {
			t.Fatal(err)
		}
		if subject == subjects[0] {
			sent["registration"]++
			sent["plain"]++
			return
		}
		sent["replies"]++
	}
	hostile := [][]byte{ // Choria's own parser crashes on these, as on the captured ones
		[]byte(`{"protocol":"choria:transport:1","data":"bnVsbA=="}`),
		[]byte(`{"protocol":"io.choria.protocol.v2.transport","data":"bnVsbA==","headers":null}`),
		transportV1(`{"protocol":"choria:secure:reply:1","hash":"x",` +
			`"message":"{\"protocol\":\"choria:reply:1\",\"message\":\"x\",\"envelope\":null}"}`),
		transportV1(`{"protocol":"choria:secure:request:1","signature":"x","pubcert":"x",` +
			`"message":"{\"protocol\":\"choria:request:1\",\"message\":\"x\",\"envelope\":null}"}`),
	}
	for _, c := range captures {
		if c.Kind == "hostile" {
			hostile = append(hostile, testkit.Raw(t, c.File))
		}
	}
	for _, subject := range subjects {
		for _, raw := range hostile {
			send(subject, raw)
		}
	}
	n := *mutations
	if testing.Short() {
		n = min(n, 1000)
	}
	for i := range n {
		c := captures[r.IntN(len(captures))]
		send(subjects[i%2], mutate(r, testkit.Raw(t, c.File)))
	}
	for adapter, count := range sent {
		testkit.Settled(t, a, adapter, count)
		s := a.Stats()[adapter]
		if s.Received != count || s.AllDropped() != 0 || s.Stored+s.Duplicate+s.AllRejected() != count {
			t.Errorf("seed %d: %s: %d sent: %+v", seed, adapter, count, s)
		}
		if s.AllRejected() == 0 {
			t.Errorf("seed %d: %s rejected nothing", seed, adapter)
		}
	}
	if err := node.FlushTimeout(5e9); err != nil {
		t.Errorf("the connection did not survive: %v", err)
	}
}
