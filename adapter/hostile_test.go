package adapter_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

var mutations = flag.Int("mutations", 10_000, "how many mutated captures are sent")

// mutate changes a message a little, as a fault or an enemy would.
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

// transport is a transport of protocol 1 around a secure layer.
func transport(secure string) []byte {
	return fmt.Appendf(nil, `{"protocol":"choria:transport:1","data":%q}`, base64.StdEncoding.EncodeToString([]byte(secure)))
}

func TestMutatedMessagesAreEachStoredDuplicateOrRejected(t *testing.T) {
	a := testkit.Appliance(t, every)
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
	hostile := [][]byte{ // what Choria's own parser crashes on, beside the captured ones
		[]byte(`{"protocol":"choria:transport:1","data":"bnVsbA=="}`),
		[]byte(`{"protocol":"io.choria.protocol.v2.transport","data":"bnVsbA==","headers":null}`),
		transport(`{"protocol":"choria:secure:reply:1","hash":"x","message":"{\"protocol\":\"choria:reply:1\",\"message\":\"x\",\"envelope\":null}"}`),
		transport(`{"protocol":"choria:secure:request:1","signature":"x","pubcert":"x","message":"{\"protocol\":\"choria:request:1\",\"message\":\"x\",\"envelope\":null}"}`),
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

func TestRejectsAreKeptWithTheirReason(t *testing.T) {
	a := testkit.Appliance(t, "")
	node := testkit.Connect(t, a)
	long := make([]byte, 100<<10)
	for _, raw := range [][]byte{testkit.Raw(t, "hostile/v1-headers-null.transport.json"), []byte("{"), {}, []byte("\xff"), long} {
		if err := node.Publish("mcollective.broadcast.agent.registration", raw); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Settled(t, a, "registration", 5)
	s := a.Stats()["registration"]
	if s.Rejected["schema"] != 1 || s.Rejected["malformed"] != 3 || s.Rejected["not-utf8"] != 1 {
		t.Errorf("have %v", s.Rejected)
	}
	js := testkit.JetStream(t, a)
	var kept []jetstream.Msg
	wait.Eventually(t, func() error {
		kept = testkit.Messages(t, js, "MUSTER_REJECTED")
		if len(kept) != 5 {
			return fmt.Errorf("%d rejects are kept", len(kept))
		}
		return nil
	})
	sizes := map[string]int{}
	for _, m := range kept {
		h := m.Headers()
		if want := "muster.rejected.registration." + h.Get("Muster-Reason"); m.Subject() != want {
			t.Errorf("kept on %s, want %s", m.Subject(), want)
		}
		if h.Get("Muster-Subject") != "mcollective.broadcast.agent.registration" || h.Get("Muster-Received") == "" {
			t.Errorf("headers %v", h)
		}
		sizes[h.Get("Muster-Size")] = len(m.Data())
	}
	if sizes["102400"] != 64<<10 || sizes["1"] != 1 || sizes["0"] != 0 {
		t.Errorf("sizes %v", sizes)
	}
}

func TestRejectsThatCannotBeKeptAreCounted(t *testing.T) {
	a := testkit.Appliance(t, "[stream.MUSTER_REJECTED]\nenabled = false\n")
	node := testkit.Connect(t, a)
	if err := node.Publish("mcollective.broadcast.agent.registration", []byte("{")); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		if s := a.Stats()["registration"]; s.RejectsUnrecorded != 1 || s.Rejected["malformed"] != 1 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}
