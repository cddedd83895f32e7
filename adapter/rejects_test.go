package adapter_test

import (
	"fmt"
	"testing"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

func TestAdapter_StoresRejectsWithTheirReason(t *testing.T) {
	a := testkit.Appliance(t, "")
	node := testkit.Connect(t, a)
	large := make([]byte, 100<<10)
	headersNull := testkit.Raw(t, "hostile/v1-headers-null.transport.json")
	for _, raw := range [][]byte{headersNull, []byte("{"), {}, []byte("\xff"), large} {
		if err := node.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Settled(t, a, "registration", 5)
	s := a.Stats()["registration"]
	if s.Rejected[contract.ReasonSchema] != 1 || s.Rejected[contract.ReasonMalformed] != 3 ||
		s.Rejected[contract.ReasonNotUTF8] != 1 {
		t.Errorf("have %v", s.Rejected)
	}
	js := testkit.JetStream(t, a)
	var copies []jetstream.Msg
	wait.Eventually(t, func() error {
		copies = testkit.Messages(t, js, contract.StreamRejected)
		if len(copies) != 5 {
			return fmt.Errorf("%d rejects are stored", len(copies))
		}
		return nil
	})
	sizes := map[string]int{}
	for _, m := range copies {
		h := m.Headers()
		if want := contract.SubjectRejected + "registration." + h.Get(contract.HeaderReason); m.Subject() != want {
			t.Errorf("stored on %s, want %s", m.Subject(), want)
		}
		if h.Get(contract.HeaderSubject) != testkit.Subject || h.Get(contract.HeaderReceived) == "" {
			t.Errorf("headers %v", h)
		}
		sizes[h.Get(contract.HeaderSize)] = len(m.Data())
	}
	if sizes["102400"] != 64<<10 || sizes["1"] != 1 || sizes["0"] != 0 {
		t.Errorf("sizes %v", sizes)
	}
}

func TestAdapter_CountsUnrecordedRejects(t *testing.T) {
	a := testkit.Appliance(t, "[stream.MUSTER_REJECTED]\nenabled = false\n")
	node := testkit.Connect(t, a)
	if err := node.Publish(testkit.Subject, []byte("{")); err != nil {
		t.Fatal(err)
	}
	wait.Eventually(t, func() error {
		if s := a.Stats()["registration"]; s.RejectsUnrecorded != 1 || s.Rejected[contract.ReasonMalformed] != 1 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}
