package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

func TestWhoFollowsEventsAndComesAgainMissesNone(t *testing.T) {
	s := newStage(t)
	f := s.open(DefaultConfig())
	const nodes = 500
	s.register(nodes/2, nil)
	var last uint64
	seen := map[uint64]int{}
	stop := errors.New("enough")
	follow := func(most int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		n := 0
		return f.FollowEvents(ctx, last, func(e *Event) error {
			last = e.Sequence
			seen[e.Sequence]++
			if n++; n == most {
				return stop
			}
			return nil
		})
	}
	for i := range 5 { // each ends after so many
		if i == 2 {
			s.register(nodes, nil) // the second half is new
		}
		if err := follow(nodes / 5); !errors.Is(err, stop) {
			t.Fatal(err)
		}
	}
	for sequence := uint64(1); sequence <= nodes; sequence++ {
		if seen[sequence] != 1 {
			t.Fatalf("event %d is seen %d times", sequence, seen[sequence])
		}
	}
}

func TestFollowersOfWhatIsToComeAndOfAStreamMadeAnew(t *testing.T) {
	s := newStage(t)
	f := s.open(DefaultConfig())
	s.register(10, nil)
	s.eventually(func() error {
		if stored, _, _ := f.outbox.counts(); stored != 10 {
			return fmt.Errorf("%d events", stored)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var first, anew atomic.Uint64
	go func() {
		_ = f.FollowEvents(ctx, OnlyNew, func(e *Event) error { first.CompareAndSwap(0, e.Sequence); return nil })
	}()
	go func() {
		_ = f.FollowEvents(ctx, 1000, func(e *Event) error { anew.CompareAndSwap(0, e.Sequence); return nil })
	}()
	s.eventually(func() error {
		if anew.Load() != 1 {
			return fmt.Errorf("begins with %d", anew.Load())
		}
		return nil
	})
	n := 10
	s.eventually(func() error { // until the other has subscribed
		n++
		s.register(n, nil)
		if first.Load() < 11 {
			return fmt.Errorf("begins with %d", first.Load())
		}
		return nil
	})
	f.opts.StoreEvents = false
	if err := f.FollowEvents(ctx, 0, nil); err == nil {
		t.Error("without a stream there is nothing to follow")
	}
}

func TestEventsSince(t *testing.T) {
	s := newStage(t)
	f := s.open(DefaultConfig())
	s.register(3, nil)
	count := func(q EventQuery) int {
		q.Limit = max(q.Limit, 1)
		page, err := f.Events(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(page.Events); n == q.Limit && page.Last != page.Events[n-1].Sequence || n > 0 && page.Last < page.Events[n-1].Sequence {
			t.Errorf("%d events of %+v are said to be all up to %d", n, q, page.Last)
		}
		return len(page.Events)
	}
	s.eventually(func() error {
		if n := count(EventQuery{Latest: true, Limit: 10}); n != 3 {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	first, err := f.Events(t.Context(), EventQuery{Limit: 1})
	if err != nil || first.Events[0].Sequence != 1 {
		t.Errorf("the first is %+v, %v", first, err)
	}
	for label, have := range map[string][2]int{
		"the latest":   {count(EventQuery{Latest: true, Limit: 2}), 2},
		"the first":    {count(EventQuery{Limit: 1}), 1},
		"after":        {count(EventQuery{After: 1, Limit: 10}), 2},
		"beyond":       {count(EventQuery{After: 3, Limit: 10}), 0},
		"since":        {count(EventQuery{Since: time.Now().Add(-time.Hour), Limit: 10}), 3},
		"since, a few": {count(EventQuery{Since: time.Now().Add(-time.Hour), Limit: 2}), 2},
		"to come":      {count(EventQuery{Since: time.Now().Add(time.Hour), Limit: 10}), 0},
	} {
		if have[0] != have[1] {
			t.Errorf("%s: %d events", label, have[0])
		}
	}
}

// A reader that asks for what follows Last reads every event once, also while events are stored.
func TestFleet_EventsPagesNeitherRepeatNorSkip(t *testing.T) {
	s := newStage(t)
	f := s.open(DefaultConfig())
	put := func(subject string, data []byte) bool {
		_, err := s.js.Publish(t.Context(), subject, data)
		return err == nil // the test has ended
	}
	const events = 600
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range events {
			e := &Event{Event: eventNew, Node: name(n), To: Up, Site: "ams", Since: s.now().UTC()}
			data, _ := json.Marshal(e)
			if n%50 == 0 { // not an event: it takes a sequence, and is skipped
				put(contract.SubjectFleetNode+"up.other", []byte("not JSON"))
			}
			if !put(e.Subject(), data) {
				return
			}
		}
	})
	var after uint64
	seen := map[string]int{}
	s.eventually(func() error {
		for _, limit := range []int{2, 7, 1000} {
			page, err := f.Events(t.Context(), EventQuery{After: after, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				seen[e.Node]++
				if e.Sequence <= after || e.Sequence > page.Last {
					t.Fatalf("a page after %d with last %d has event %d", after, page.Last, e.Sequence)
				}
			}
			after = page.Last
		}
		if len(seen) != events && after < events+events/50 {
			return fmt.Errorf("read %d events up to %d", len(seen), after)
		}
		return nil
	})
	wg.Wait()
	for n := range events {
		if seen[name(n)] != 1 {
			t.Fatalf("event %d is read %d times", n, seen[name(n)])
		}
	}
}
