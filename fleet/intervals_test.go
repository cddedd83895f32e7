package fleet

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// autoRules returns rules with limits that follow from the intervals.
func autoRules(started time.Time) Rules {
	rules := testRules(started)
	rules.Late, rules.Down, rules.Forget = 0, 0, 7*24*time.Hour
	return rules
}

// autoRegistry is a registry with autoRules, and a clock.
type autoRegistry struct {
	*testRegistry
	now time.Time
}

func newAutoRegistry() *autoRegistry {
	now := time.Unix(1_000_000, 0)
	return &autoRegistry{newTestRegistry(autoRules(now.Add(-time.Hour))), now}
}

// register lets a node register after each of the gaps, and updates the states every 10 seconds meanwhile.
func (r *autoRegistry) register(gaps ...time.Duration) {
	for _, gap := range gaps {
		r.wait(gap)
		r.registered(update{name: "web1", site: "ams", received: r.now}, r.now)
	}
}

func (r *autoRegistry) wait(d time.Duration) {
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = r.now.Add(min(end.Sub(r.now), 10*time.Second))
		r.tick(r.now)
	}
}

// A node of a large fleet, which registers every 30 minutes, does not become late between two registrations.
func TestRegistry_LimitsFollowTheInterval(t *testing.T) {
	const secs, mins, hours = time.Second, time.Minute, time.Hour
	for name, test := range map[string]struct {
		gaps []time.Duration
		want []string
	}{
		"every 5 minutes":         {slices.Repeat([]time.Duration{5 * mins}, 20), []string{"new"}},
		"every 30 minutes":        {slices.Repeat([]time.Duration{30 * mins}, 20), []string{"new"}},
		"every 10 seconds":        {slices.Repeat([]time.Duration{10 * secs}, 20), []string{"new"}},
		"every 2 hours":           {slices.Repeat([]time.Duration{2 * hours}, 9), []string{"new", "late", "down", "up"}},
		"a skipped registration":  {[]time.Duration{0, 5 * mins, 5 * mins, 5 * mins, 10 * mins, 5 * mins}, []string{"new"}},
		"bursts":                  {slices.Repeat([]time.Duration{30 * mins, secs, secs, secs}, 9), []string{"new"}},
		"restarts at the start":   {[]time.Duration{0, 9 * secs, secs, secs, 30 * mins, 30 * mins}, []string{"new"}},
		"restarted twice":         {[]time.Duration{0, 30 * mins, 30 * mins, 9 * mins, 2 * secs, 30 * mins}, []string{"new"}},
		"restarted after the new": {[]time.Duration{0, 2 * secs, 30 * mins, 30 * mins, 30 * mins}, []string{"new"}},
		"an outage": {
			[]time.Duration{0, 5 * mins, 5 * mins, 5 * mins, 9 * hours, 5 * mins, 12 * mins},
			[]string{"new", "late", "down", "up", "late", "up"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAutoRegistry()
			r.register(test.gaps...)
			if !slices.Equal(r.kinds(), test.want) {
				t.Errorf("events %v, want %v", r.kinds(), test.want)
			}
		})
	}
}

func TestRegistry_ReasonsNameTheInterval(t *testing.T) {
	r := newAutoRegistry()
	r.register(0)
	r.wait(36 * time.Minute)
	r.register(append([]time.Duration{0}, slices.Repeat([]time.Duration{5 * time.Minute}, 7)...)...)
	r.wait(17 * time.Minute)
	var reasons []string
	for _, e := range r.events {
		reasons = append(reasons, e.Reason)
	}
	want := []string{
		"registered for the first time", "no registration for 35m; how often it registers is not known yet",
		"registered", "no registration for 11m; it registers every 5m", "no registration for 16m; it registers every 5m",
	}
	if !slices.Equal(reasons, want) {
		t.Errorf("have %q, want %q", reasons, want)
	}
}

func TestRegistry_SetRulesChangesFixedAndAuto(t *testing.T) {
	r := newAutoRegistry()
	r.register(0, 5*time.Minute, 5*time.Minute, 5*time.Minute)
	r.wait(7 * time.Minute)
	r.setRules(testRules(r.rules.Started), 20, r.now) // late after 6m
	r.setRules(autoRules(r.rules.Started), 20, r.now) // late after 11m
	r.wait(4 * time.Minute)
	want := []string{"new", "late", "up", "late"}
	if !slices.Equal(r.kinds(), want) {
		t.Errorf("events %v, want %v", r.kinds(), want)
	}
	last := r.events[len(r.events)-1]
	if late := last.Since.Sub(last.Received); late != 11*time.Minute {
		t.Errorf("late %s after the last registration", late)
	}
}

// A node of a large fleet was restarted once before the appliance was, or registered several times in quick
// succession. Neither is taken for its interval.
func TestRegistry_ARestartMakesNoIntervalShorter(t *testing.T) {
	const secs, mins = time.Second, time.Minute
	for name, gaps := range map[string][]time.Duration{
		"restarted once":       {0, 36 * secs},
		"burst when new":       {0, 30 * secs, 30 * secs, 30 * secs, 30 * secs},
		"burst":                {0, 30 * mins, 30 * mins, 30 * mins, 30 * mins, 30 * secs, 30 * secs, 30 * secs, 30 * secs},
		"a day of bursts, new": append([]time.Duration{0}, slices.Repeat([]time.Duration{29 * mins, 30 * secs}, 48)...),
	} {
		t.Run(name, func(t *testing.T) {
			r := newAutoRegistry()
			found := map[string]*storedGaps{}
			for i, gap := range gaps {
				r.register(gap)
				if len(gaps)-i <= 5 { // the stream keeps these
					addStored(found, update{name: "web1", site: "ams", received: r.now})
				}
			}
			r.connect("web1", connID{"S", 1}, r.now)
			r.disconnected("web1", connID{"S", 1}, r.now, "Client Closed", r.now)
			r.wait(30 * secs) // down, an event with the interval if it is known
			r.connect("web1", connID{"S", 2}, r.now)
			r.wait(30 * secs)
			again := &autoRegistry{newTestRegistry(autoRules(r.now)), r.now}
			again.learning = true
			for _, e := range r.events {
				again.restore(e)
			}
			again.learnGaps(found, r.now)
			again.connect("web1", connID{"S", 3}, r.now)
			again.wait(30 * mins)
			if len(again.events) > 0 {
				t.Errorf("after a restart: %s, %s", again.events[0].Event, again.events[0].Reason)
			}
		})
	}
}

// A node was down, registered again for some time and became late, but the process ended before it had
// stored that. The next process finds the same change, with the same ID.
func TestRegistry_FindsTheSameChangeAgain(t *testing.T) {
	for _, interval := range []time.Duration{10 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour} {
		t.Run(interval.String(), func(t *testing.T) {
			r := newAutoRegistry()
			down := &Event{
				Event: "down", Node: "web1", Site: "ams", To: Down, Received: r.now, Since: r.now,
				Interval: interval.Seconds(),
			}
			r.restore(down)
			var stored []update
			for range 5 { // as many as the stream keeps
				r.register(interval)
				stored = append(stored, update{name: "web1", site: "ams", received: r.now, replayed: true})
			}
			r.wait(max(2*interval+90*time.Second, 7*time.Minute))
			again := newTestRegistry(autoRules(r.now))
			again.learning = true
			again.restore(down)
			found := map[string]*storedGaps{}
			for _, u := range stored {
				addStored(found, u)
			}
			again.registered(stored[4], r.now)
			again.learnGaps(found, r.now)
			again.tick(r.now)
			have, want := again.events[len(again.events)-1], r.events[len(r.events)-1]
			if want.Event != "late" || have.ID() != want.ID() {
				t.Errorf("have %s, want %s", have.ID(), want.ID())
			}
		})
	}
}

// The nodes registered every 20 minutes; after a restart the view has that from the stream, although none
// of them has registered again.
func TestFleet_LearnsIntervalsFromTheStream(t *testing.T) {
	t.Parallel()
	const nodes = 50
	s := newFixture(t)
	s.ahead.Store(-int64(time.Hour))
	for range 4 {
		s.register(nodes, nil)
		s.ahead.Add(int64(20 * time.Minute))
	}
	s.ahead.Store(0)
	for restart := range 2 {
		f := s.open(DefaultConfig())
		wait.Eventually(t, func() error {
			for n := range nodes {
				if status, _ := f.Node(idOf(n)); status.RegistersEverySeconds != 1200 {
					return fmt.Errorf("restart %d: node %d registers every %v s", restart, n, status.RegistersEverySeconds)
				}
			}
			return nil
		})
		_ = f.Close(context.Background())
	}
}

// The stream has only the last registration of each node, so the interval is that of its last event.
func TestFleet_RestoresIntervalsFromEvents(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	for range 4 {
		before, _ := f.Node(idOf(0))
		s.register(1, nil)
		wait.Eventually(t, func() error {
			if status, _ := f.Node(idOf(0)); status.State != Up || !status.Registered.After(before.Registered) {
				return fmt.Errorf("have %+v", status)
			}
			return nil
		})
		s.ahead.Add(int64(40 * time.Minute))
		f.withRegistry(func(r *registry, now time.Time) { r.tick(now) })
	}
	s.ahead.Add(int64(80 * time.Minute)) // late, after the interval is known
	f.withRegistry(func(r *registry, now time.Time) { r.tick(now) })
	_ = f.Close(context.Background())
	registrations, err := s.js.Stream(t.Context(), f.cfg.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := registrations.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.register(1, nil)
	f = s.open(DefaultConfig())
	f.awaitIntervals(t)
	if status, _ := f.Node(idOf(0)); status.RegistersEverySeconds != 2400 {
		t.Errorf("have %+v", status)
	}
}
