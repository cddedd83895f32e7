package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// inventories returns the inventories of an unknown node and of the nodes 0 to nodes-1, one per
// line.
func (s *fixture) inventories(f *Fleet, nodes int) string {
	s.tb.Helper()
	ids := []NodeID{{Name: "unknown"}}
	for n := range nodes {
		ids = append(ids, idOf(n))
	}
	var lines []string
	err := f.Inventories(s.tb.Context(), ids, func(id NodeID, i *choria.Inventory) error {
		short, _, _ := strings.Cut(id.Name, ".")
		if i == nil {
			lines = append(lines, short+" -")
		} else {
			lines = append(lines, fmt.Sprintf("%s %s %v %v", short, i.Facts, i.Classes, i.Collectives))
		}
		return nil
	})
	if err != nil {
		s.tb.Error(err)
	}
	return strings.Join(lines, "\n")
}

// waitForNodes waits until the view has that many nodes.
func waitForNodes(t *testing.T, f *Fleet, nodes int) {
	t.Helper()
	wait.Eventually(t, func() error {
		if got := f.Summary().Nodes; got != nodes {
			return fmt.Errorf("%d nodes, want %d", got, nodes)
		}
		return nil
	})
}

func TestFleet_InventoriesAreTheLastRegistered(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	bodies := [][]byte{
		inventoryBody(t, `{"classes":["base"],"facts":{"cores":4},"collectives":["web"]}`),
		[]byte(`{"cores":8}`),
		[]byte(`not JSON`),
		nil, // stored data that cannot be read at all
	}
	for range 2 { // in the second round the first registrations are no longer the last
		s.register(len(bodies), func(n int) []byte {
			if bodies[n] == nil {
				return []byte("{")
			}
			return output(n, "1", bodies[n])
		})
		waitForNodes(t, f, len(bodies))
		want := "unknown -\nnode00000 " + formatInventory(t, bodies[0]) +
			"\nnode00001 {\"cores\":8} [] []\nnode00002 -\nnode00003 -"
		if got := s.inventories(f, len(bodies)); got != want {
			t.Errorf("inventories:\n%s\nwant:\n%s", got, want)
		}
		bodies[0] = inventoryBody(t, `{"classes":["other"],"facts":{"cores":5}}`)
	}
	enough := errors.New("enough")
	err := f.Inventories(t.Context(), []NodeID{idOf(0), idOf(1)}, func(NodeID, *choria.Inventory) error { return enough })
	if !errors.Is(err, enough) {
		t.Error(err)
	}
	s.killFleet(f)
	if err := f.Inventories(t.Context(), []NodeID{idOf(0)}, nil); err == nil {
		t.Error("inventories without a stream")
	}
}

// formatInventory returns the body of inventoryBody as inventories does.
func formatInventory(t *testing.T, body []byte) string {
	t.Helper()
	c, err := choria.UnpackStored("", output(0, "1", body))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %v %v", c.Inventory.Facts, c.Inventory.Classes, c.Inventory.Collectives)
}

func TestFleet_InventoriesOfNodesThatShareSubject(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	for n := range 3 {
		header := s.adapterHeader(n)
		header.Set(contract.HeaderContent, choria.ContentInventory)
		_, err := s.js.PublishMsg(t.Context(), &nats.Msg{
			Subject: contract.SubjectNodeMetadata + "all", Header: header,
			Data: fmt.Appendf(nil, `{"facts":{"n":%d},"classes":[]}`, n),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	waitForNodes(t, f, 3)
	want := "unknown -\nnode00000 {\"n\":0} [] []\nnode00001 {\"n\":1} [] []\nnode00002 {\"n\":2} [] []"
	if got := s.inventories(f, 3); got != want {
		t.Errorf("inventories:\n%s", got)
	}
}
