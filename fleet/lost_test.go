package fleet

import (
	"fmt"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestFleet_ReportLostIsStoredOnceAndHidesNoStorm(t *testing.T) {
	s := newFixture(t)
	f := s.open(DefaultConfig())
	now := f.opts.Now()
	f.outbox.put(&Event{Event: eventStorm, Storm: "1", Site: f.opts.Site, Since: now, Nodes: 7, Of: 9})
	for range 2 {
		f.ReportLost("S", 7, "7 messages are missing", now)
	}
	wait.Eventually(t, func() error {
		if stored, _, _ := f.outbox.counts(); stored != 3 {
			return fmt.Errorf("%d stored", stored)
		}
		return nil
	})
	page, err := f.Events(t.Context(), EventQuery{Latest: true, Limit: 10})
	if err != nil || len(page.Events) != 2 {
		t.Fatalf("%v %+v", err, page)
	}
	if e := page.Events[1]; e.Event != "stream-lost" || e.Stream != "S" || e.Lost != 7 || !e.Since.Equal(now) {
		t.Errorf("have %+v", e)
	}
	s.killFleet(f)
	if f = s.open(DefaultConfig()); len(f.Summary().Storms) != 1 {
		t.Errorf("the storm is not restored: %+v", f.Summary())
	}
	new(Fleet).ReportLost("S", 7, "", now) // events are not stored
}
