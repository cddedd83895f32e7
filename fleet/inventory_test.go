package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go"
)

// inventories are those of so many nodes, and of one that nobody knows, in words.
func (s *stage) inventories(f *Fleet, nodes int) string {
	s.tb.Helper()
	names := []string{"nobody"}
	for n := range nodes {
		names = append(names, name(n))
	}
	var told []string
	err := f.Inventories(s.tb.Context(), names, func(name string, i *choria.Inventory) error {
		short, _, _ := strings.Cut(name, ".")
		if i == nil {
			told = append(told, short+" -")
		} else {
			told = append(told, fmt.Sprintf("%s %s %v %v", short, i.Facts, i.Classes, i.Collectives))
		}
		return nil
	})
	if err != nil {
		s.tb.Error(err)
	}
	return strings.Join(told, "\n")
}

func TestInventoriesAreThoseRegisteredLast(t *testing.T) {
	s := newStage(t)
	f := s.open(DefaultConfig())
	bodies := [][]byte{
		inventoryBody(t, `{"classes":["base"],"facts":{"cores":4},"collectives":["web"]}`),
		[]byte(`{"cores":8}`),
		[]byte(`no JSON`),
		nil, // what cannot be read at all
	}
	for range 2 { // the first of each is not the last
		s.register(len(bodies), func(n int) []byte {
			if bodies[n] == nil {
				return []byte("{")
			}
			m := choria.Message{Sender: name(n), ID: "1", Time: time.Unix(1, 0), Body: bodies[n]}
			return m.AppendOutput(nil)
		})
		s.eventually(func() error {
			if have := f.Summary().Nodes; have != len(bodies) {
				return fmt.Errorf("%d nodes", have)
			}
			return nil
		})
		want := "nobody -\nnode00000 " + string(inventoryFacts(bodies[0])) + "\nnode00001 {\"cores\":8} [] []\nnode00002 -\nnode00003 -"
		if have := s.inventories(f, len(bodies)); have != want {
			t.Errorf("inventories:\n%s\nwant:\n%s", have, want)
		}
		bodies[0] = inventoryBody(t, `{"classes":["other"],"facts":{"cores":5}}`)
	}
	refusal := errors.New("no more")
	if err := f.Inventories(t.Context(), []string{name(0), name(1)}, func(string, *choria.Inventory) error { return refusal }); !errors.Is(err, refusal) {
		t.Error(err)
	}
	s.crash(f)
	if err := f.Inventories(t.Context(), []string{name(0)}, nil); err == nil {
		t.Error("inventories without a stream")
	}
}

// inventoryFacts is what inventories says of a body of inventoryBody.
func inventoryFacts(body []byte) string {
	c, err := unpack("", (&choria.Message{Sender: "x", ID: "1", Time: time.Unix(1, 0), Body: body}).AppendOutput(nil))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %v %v", c.inventory.Facts, c.inventory.Classes, c.inventory.Collectives)
}

func TestInventoriesOfNodesThatShareASubject(t *testing.T) {
	s := newStage(t)
	f := s.open(DefaultConfig())
	for n := range 3 {
		_, err := s.js.PublishMsg(t.Context(), &nats.Msg{
			Subject: "choria.node_metadata.all",
			Header:  nats.Header{contract.HeaderSender: {name(n)}, contract.HeaderReceived: {s.now().UTC().Format(time.RFC3339Nano)}, contract.HeaderSite: {"ams"}, contract.HeaderContent: {"inventory"}},
			Data:    fmt.Appendf(nil, `{"facts":{"n":%d},"classes":[]}`, n),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.eventually(func() error {
		if have := f.Summary().Nodes; have != 3 {
			return fmt.Errorf("%d nodes", have)
		}
		return nil
	})
	if have, want := s.inventories(f, 3), "nobody -\nnode00000 {\"n\":0} [] []\nnode00001 {\"n\":1} [] []\nnode00002 {\"n\":2} [] []"; have != want {
		t.Errorf("inventories:\n%s", have)
	}
}
