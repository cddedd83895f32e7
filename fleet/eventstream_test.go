package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestFleet_FollowEventsResumesAfterSequence(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	const nodes = 500
	s.register(nodes/2, nil)
	var last uint64
	seen := map[uint64]int{}
	enough := errors.New("enough")
	follow := func(limit int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		n := 0
		return f.FollowEvents(ctx, last, func(e *Event) error {
			last = e.Sequence
			seen[e.Sequence]++
			if n++; n == limit {
				return enough
			}
			return nil
		})
	}
	for i := range 5 {
		if i == 2 {
			s.register(nodes, nil) // the second half is new
		}
		if err := follow(nodes / 5); !errors.Is(err, enough) {
			t.Fatal(err)
		}
	}
	for sequence := uint64(1); sequence <= nodes; sequence++ {
		if seen[sequence] != 1 {
			t.Fatalf("event %d is seen %d times", sequence, seen[sequence])
		}
	}
}

func TestFleet_FollowEventsSkipsStoredAndReadsRecreatedStream(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	s.register(10, nil)
	wait.Eventually(t, func() error {
		if stored, _, _ := f.outbox.counts(); stored != 10 {
			return fmt.Errorf("%d events", stored)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var onlyNew, beyond atomic.Uint64 // the first sequence that each sees
	go func() {
		_ = f.FollowEvents(ctx, OnlyNew, func(e *Event) error { onlyNew.CompareAndSwap(0, e.Sequence); return nil })
	}()
	go func() {
		_ = f.FollowEvents(ctx, 1000, func(e *Event) error { beyond.CompareAndSwap(0, e.Sequence); return nil })
	}()
	wait.Eventually(t, func() error {
		if beyond.Load() != 1 {
			return fmt.Errorf("begins with %d", beyond.Load())
		}
		return nil
	})
	n := 10
	wait.Eventually(t, func() error { // until the other one has subscribed
		n++
		s.register(n, nil)
		if onlyNew.Load() < 11 {
			return fmt.Errorf("begins with %d", onlyNew.Load())
		}
		return nil
	})
	f.opts.StoreEvents = false
	if err := f.FollowEvents(ctx, 0, nil); err == nil {
		t.Error("without a stream there is nothing to follow")
	}
}

func TestFleet_EventsSelectsPage(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	s.register(3, nil)
	events := func(t *testing.T, q EventQuery) int {
		page, err := f.Events(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(page.Events); n == q.Limit && page.Last != page.Events[n-1].Sequence ||
			n > 0 && page.Last < page.Events[n-1].Sequence {
			t.Errorf("a page of %d events up to %d has last %d", n, page.Events[n-1].Sequence, page.Last)
		}
		return len(page.Events)
	}
	wait.Eventually(t, func() error {
		if n := events(t, EventQuery{Latest: true, Limit: 10}); n != 3 {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	first, err := f.Events(t.Context(), EventQuery{Limit: 1})
	if err != nil || first.Events[0].Sequence != 1 {
		t.Errorf("the first is %+v, %v", first, err)
	}
	hourAgo, inAnHour := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for name, test := range map[string]struct {
		q    EventQuery
		want int
	}{
		"latest":             {EventQuery{Latest: true, Limit: 2}, 2},
		"first":              {EventQuery{Limit: 1}, 1},
		"after":              {EventQuery{After: 1, Limit: 10}, 2},
		"after the last":     {EventQuery{After: 3, Limit: 10}, 0},
		"since":              {EventQuery{Since: hourAgo, Limit: 10}, 3},
		"since, with limit":  {EventQuery{Since: hourAgo, Limit: 2}, 2},
		"since, from future": {EventQuery{Since: inAnHour, Limit: 10}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := events(t, test.q); got != test.want {
				t.Errorf("%d events, want %d", got, test.want)
			}
		})
	}
}

// A client that asks for the events after Last sees each event once, also while events are
// stored and although the stream has messages that are not events.
func TestFleet_EventsPagesNeitherRepeatNorSkip(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	put := func(subject string, data []byte) bool {
		_, err := s.js.Publish(t.Context(), subject, data)
		return err == nil // otherwise the test has ended
	}
	const events, others = 600, 12
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range events {
			e := &Event{Event: eventNew, Node: nodeName(n), To: Up, Site: "ams", Since: s.now().UTC()}
			data, _ := json.Marshal(e)
			if n%(events/others) == 0 {
				put(contract.SubjectFleetNode+"up.other", []byte("not JSON"))
			}
			if !put(e.Subject(), data) {
				return
			}
		}
	})
	var after uint64
	seen := map[string]int{}
	wait.Eventually(t, func() error {
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
		if after < events+others {
			return fmt.Errorf("read %d events up to %d", len(seen), after)
		}
		return nil
	})
	wg.Wait()
	for n := range events {
		if seen[nodeName(n)] != 1 {
			t.Fatalf("event %d is read %d times", n, seen[nodeName(n)])
		}
	}
}

// TestFleet_EventsPagesEndBeforeTheyAreLarge has events as large as they may be, and a larger one.
func TestFleet_EventsPagesEndBeforeTheyAreLarge(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	const events = maxPageBytes/maxEvent + 100
	put := func(size int) {
		e := &Event{Event: eventStorm, Site: "ams", Storm: "1"}
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, strings.Repeat(" ", size-len(data))...)
		if _, err := s.js.Publish(t.Context(), e.Subject(), data); err != nil {
			t.Fatal(err)
		}
	}
	put(maxEvent + 1)
	for range events {
		put(maxEvent)
	}
	seen, pages := 0, 0
	for after := uint64(0); after < events+1; pages++ {
		page, err := f.Events(t.Context(), EventQuery{After: after, Limit: 10_000})
		if err != nil || len(page.Events) == 0 {
			t.Fatalf("after %d: %d events, %v", after, len(page.Events), err)
		}
		seen, after = seen+len(page.Events), page.Last
	}
	if seen != events || pages != 2 {
		t.Errorf("%d of %d events in %d pages", seen, events, pages)
	}
}
