package simnode

import (
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

func TestNode_RegistersLikeARealNode(t *testing.T) {
	kinds := map[string]int{}
	for i := range 8 {
		n, err := NewNode(i, NodeOptions{})
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
			t.Errorf("node %d registers %d bytes of facts, want 20 to 30 KiB", i, size)
		}
		// Protocol 2 has more layers of base64.
		maxSize := map[choria.Protocol]int{choria.V1: 11 << 10, choria.V2: 18 << 10}[n.Protocol]
		if len(raw) < 6<<10 || len(raw) > maxSize {
			t.Errorf("node %d publishes %d bytes, want 6 KiB to %d", i, len(raw), maxSize)
		}
		kinds[content.Kind]++
	}
	if kinds[choria.ContentFile] != 4 || kinds[choria.ContentInventory] != 4 {
		t.Errorf("have %v", kinds)
	}
}

func TestNode_RegistrationHasTheKindsProtocolAndSize(t *testing.T) {
	for name, o := range map[string]NodeOptions{
		"protocol 1":        {Protocol: choria.V1, Size: 10 << 10},
		"protocol 2":        {Protocol: choria.V2, Size: 10 << 10},
		"large, protocol 1": {Protocol: choria.V1, Size: 60 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := NewNode(1, o)
			if err != nil {
				t.Fatal(err)
			}
			_, raw, err := n.Registration(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			m, err := new(choria.Parser).Request(raw)
			if err != nil || m.Protocol != o.Protocol {
				t.Errorf("%v %v", m, err)
			}
			if size := int64(len(raw)); size < o.Size*9/10 || size > o.Size*11/10 {
				t.Errorf("%d bytes, want %d", size, o.Size)
			}
		})
	}
}
