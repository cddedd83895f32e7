package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// takeAll takes every waiting event, batch by batch, each as "event node" or "event site".
func takeAll(o *outbox) (batches [][]string) {
	for {
		batch, _ := o.take()
		if len(batch) == 0 {
			return batches
		}
		var events []string
		for _, e := range batch {
			events = append(events, e.Event+" "+e.Node+e.Site)
		}
		batches = append(batches, events)
	}
}

func TestOutbox_KeepsSiteEventsInOrder(t *testing.T) {
	node := func(event, name string) *Event { return &Event{Event: event, Node: name} }
	site := func(event, name string) *Event { return &Event{Event: event, Site: name} }
	for name, test := range map[string]struct {
		put  []*Event
		want [][]string
	}{
		"a storm and its calm leave one after the other": {
			[]*Event{site("storm", "ams"), site("calm", "ams")},
			[][]string{{"storm ams"}, {"calm ams"}},
		},
		"site events leave before node events": {
			[]*Event{node("down", "n1"), node("down", "n2"), site("storm", "ams"), site("storm", "lon")},
			[][]string{{"storm ams", "storm lon", "down n1", "down n2"}},
		},
		"a batch has one event of each node": {
			[]*Event{node("new", "n1"), node("new", "n2"), node("late", "n1"), node("new", "n3")},
			[][]string{{"new n1", "new n2"}, {"late n1", "new n3"}},
		},
		"a batch has one event of each site": {
			[]*Event{
				site("storm", "ams"), site("calm", "ams"), site("storm", "ams"), node("new", "n1"), node("late", "n1"),
			},
			[][]string{{"storm ams", "new n1"}, {"calm ams", "late n1"}, {"storm ams"}},
		},
		"a node may have the name of a site": {
			[]*Event{node("new", "ams"), site("storm", "ams")},
			[][]string{{"storm ams", "new ams"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox(nil, nil, hclog.NewNullLogger())
			for _, e := range test.put {
				o.put(e)
			}
			if got := takeAll(o); !slices.EqualFunc(got, test.want, slices.Equal) {
				t.Errorf("batches %q, want %q", got, test.want)
			}
		})
	}
}

func TestOutbox_BoundsBothQueuesTogether(t *testing.T) {
	o := newOutbox(nil, nil, hclog.NewNullLogger())
	for range maxWaiting / 2 {
		o.put(&Event{Event: "down", Node: "n1"})
		o.put(&Event{Event: eventStorm, Site: "ams"}) // takes many minutes if each put copies the queue
	}
	o.put(&Event{Event: eventStorm, Site: "ams"})
	o.put(&Event{Event: "down", Node: "n1"})
	if _, dropped, waiting := o.counts(); dropped != 2 || waiting != maxWaiting {
		t.Errorf("%d dropped, %d waiting; want 2 and %d", dropped, waiting, maxWaiting)
	}
}

// A storm whose calm was stored is over, and a restart must not revive it.
func TestOutbox_StoresStormBeforeItsCalm(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	if err := s.js.DeleteStream(t.Context(), contract.StreamFleet); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_000_000, 0).UTC()
	f.outbox.put(&Event{Event: eventNew, Node: nodeName(0), To: Up, Site: "ams", Since: at})
	wait.Eventually(t, func() error { // what is put now waits behind it
		if !f.outbox.failing.Load() {
			return errors.New("the stream is deleted, and no event had to wait")
		}
		return nil
	})
	for _, kind := range []string{eventStorm, eventCalm} {
		f.outbox.put(&Event{Event: kind, Site: "ams", Since: at, Storm: "ams-1", Nodes: 5, Of: 10})
	}
	s.createStream(contract.StreamFleet, contract.SubjectFleet+">")
	wait.Eventually(t, func() error {
		if stored, _, _ := f.outbox.counts(); stored != 3 {
			return fmt.Errorf("%d of 3 events are stored", stored)
		}
		return nil
	})
	page, err := f.Events(t.Context(), EventQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range page.Events {
		kinds = append(kinds, e.Event)
	}
	if want := []string{eventNew, eventStorm, eventCalm}; !slices.Equal(kinds, want) {
		t.Errorf("stored as %q, want %q", kinds, want)
	}
	_ = f.Close(context.Background())
	if storms := s.open(DefaultConfig()).Summary().Storms; len(storms) > 0 {
		t.Errorf("a restart revives the storms of %q", storms)
	}
}

func TestOutbox_RetriesUntilStreamExists(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	if err := s.js.DeleteStream(t.Context(), contract.StreamFleet); err != nil {
		t.Fatal(err)
	}
	s.register(10, nil)
	wait.Eventually(t, func() error {
		if !f.outbox.failing.Load() {
			return errors.New("no event had to wait")
		}
		if _, _, waiting := f.outbox.counts(); waiting != 10 {
			return fmt.Errorf("%d of 10 events wait, including the current batch", waiting)
		}
		return nil
	})
	s.createStream(contract.StreamFleet, contract.SubjectFleet+">")
	wait.Eventually(t, func() error {
		stored, dropped, waiting := f.outbox.counts()
		if n := s.messages(contract.StreamFleet); n != 10 || stored != 10 || dropped != 0 || waiting != 0 {
			return fmt.Errorf("%d of 10 events are in the stream; %d stored, %d dropped, %d waiting",
				n, stored, dropped, waiting)
		}
		return nil
	})
}
