package simnode

import (
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

func TestNodesRegisterLikeRealOnes(t *testing.T) {
	kinds := map[string]int{}
	for i := range 8 {
		n, err := NewNode(i, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		id, raw, err := n.Registration(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		m, err := choria.ParseRequest(raw)
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
