package simnode

import (
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

func TestNodesRegisterLikeRealOnes(t *testing.T) {
	kinds := map[string]int{}
	for i := range 8 {
		n, err := NewNode(i, Kind{})
		if err != nil {
			t.Fatal(err)
		}
		id, raw, err := n.Registration(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		m, err := new(choria.Parser).Request(raw)
		if err != nil {
			t.Fatal(err)
		}
		content, err := choria.Unpack(m.Body, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if m.ID != id || m.Sender != n.Identity || m.Protocol != n.Protocol || m.Agent != "registration" {
			t.Errorf("node %d: %+v", i, m)
		}
		if size := len(content.Payload); size < 20<<10 || size > 30<<10 {
			t.Errorf("node %d registers %d bytes of facts", i, size)
		}
		// Protocol 2 puts base64 around base64 once more.
		if most := map[choria.Protocol]int{choria.V1: 11 << 10, choria.V2: 18 << 10}[n.Protocol]; len(raw) < 6<<10 || len(raw) > most {
			t.Errorf("node %d sends %d bytes", i, len(raw))
		}
		kinds[content.Kind]++
	}
	if kinds[choria.ContentFile] != 4 || kinds[choria.ContentInventory] != 4 {
		t.Errorf("have %v", kinds)
	}
}

func TestNodesSendWhatTheyAreAskedFor(t *testing.T) {
	for _, kind := range []Kind{{Protocol: choria.V1, Size: 10 << 10}, {Protocol: choria.V2, Size: 10 << 10}, {Protocol: choria.V1, Size: 60 << 10}} {
		n, err := NewNode(1, kind)
		if err != nil {
			t.Fatal(err)
		}
		_, raw, err := n.Registration(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		m, err := new(choria.Parser).Request(raw)
		if err != nil || m.Protocol != kind.Protocol {
			t.Errorf("%+v: %v %v", kind, m, err)
		}
		if size := int64(len(raw)); size < kind.Size*9/10 || size > kind.Size*11/10 {
			t.Errorf("%+v: sends %d bytes", kind, size)
		}
	}
}
