package fleet

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// stepRegistry sets the clock of a registry by a step, and returns the time after it.
func stepRegistry(r *testRegistry, now time.Time, by time.Duration) time.Time {
	r.moveTimes(clockStep{by: by, before: now})
	return now.Add(by)
}

// A node registers and another one's connection ends; both are read only after the clock was set.
func TestRegistry_TimesFromBeforeAClockStep(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 9 * 24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			before := time.Unix(1_000_000, 0)
			r := newTestRegistry(testRules(before.Add(-time.Hour)))
			r.registered(update{name: "web1", site: "ams", received: before.Add(-4 * time.Minute)}, before)
			r.registered(update{name: "web2", site: "ams", received: before}, before)
			r.connect("web2", connID{"S", 1}, before)
			now := stepRegistry(r, before, by)
			r.registered(update{name: "web1", site: "ams", received: before}, now)
			r.disconnected("web2", connID{"S", 1}, before, "Client Closed", now)
			r.tick(now)
			r.tick(now.Add(20*time.Second - time.Nanosecond))
			if want := []string{"new", "new"}; !slices.Equal(r.kinds(), want) {
				t.Errorf("events %v, want %v", r.kinds(), want)
			}
			r.tick(now.Add(20 * time.Second)) // web2 does not reconnect
			r.tick(now.Add(6*time.Minute - time.Nanosecond))
			if want := []string{"new", "new", "down"}; !slices.Equal(r.kinds(), want) {
				t.Errorf("events %v, want %v", r.kinds(), want)
			}
			r.tick(now.Add(6 * time.Minute)) // web1 is silent
			if want := []string{"new", "new", "down", "late"}; !slices.Equal(r.kinds(), want) {
				t.Errorf("events %v, want %v", r.kinds(), want)
			}
		})
	}
}

func TestRegistry_StormOutlastsAClockStep(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			now := time.Unix(1_000_000, 0)
			r := newTestRegistry(testRules(now.Add(-time.Hour)))
			for n := range 10 {
				r.registered(update{name: nodeName(n), site: "ams", received: now}, now)
				r.connect(nodeName(n), connID{"S", uint64(n)}, now)
			}
			for n := range 5 {
				r.disconnected(nodeName(n), connID{"S", uint64(n)}, now, "Stale Connection", now)
			}
			now = now.Add(20 * time.Second)
			r.tick(now)
			now = stepRegistry(r, now, by)
			r.tick(now.Add(time.Minute - time.Nanosecond))
			if r.count(eventStorm) != 1 || r.count(eventCalm) != 0 || r.count("down") != 5 || len(r.events) != 16 {
				t.Errorf("events %v", r.kinds())
			}
			r.tick(now.Add(time.Minute))
			if r.count(eventCalm) != 1 || r.sites["ams"].storm.id != "" {
				t.Errorf("events %v", r.kinds())
			}
		})
	}
}

// restartCase is the last event of a node, and what becomes of the node when the process starts again.
type restartCase struct {
	event        Event // its times are from an hour before the process that wrote it ended
	registration time.Duration
	want         State
}

// The process that wrote the event and the registration ran with a clock that was an hour ahead.
func TestRegistry_RestartAfterTheClockWasSetBack(t *testing.T) {
	const mins = time.Minute
	ended := time.Unix(1_000_000, 0) // of the process before, by its clock
	at := func(d time.Duration) time.Time { return ended.Add(d) }
	for name, test := range map[string]restartCase{
		"up":     {Event{To: Up, Since: at(-30 * mins), Received: at(-30 * mins)}, -mins, Up},
		"late":   {Event{To: Late, Since: at(-4 * mins), Received: at(-10 * mins)}, -10 * mins, Late},
		"silent": {Event{To: Down, Since: at(-9 * mins), Received: at(-20 * mins)}, -20 * mins, Down},
		"down":   {Event{To: Down, Since: at(-mins), Ended: at(-mins), Received: at(-2 * mins)}, -2 * mins, Down},
		"stopped": {
			Event{To: Stopped, Since: at(-mins), Ended: at(-mins), ShutdownAt: at(-mins), Received: at(-2 * mins)},
			-2 * mins, Stopped,
		},
		// It was down, and registered then; the event of that was not stored.
		"up again": {Event{To: Down, Since: at(-9 * mins), Received: at(-20 * mins)}, -mins, Up},
	} {
		t.Run(name, func(t *testing.T) {
			now := ended.Add(-time.Hour)
			r := newTestRegistry(testRules(now))
			test.event.Event, test.event.Node, test.event.Site = string(test.event.To), "web1", "ams"
			r.restore(&test.event)
			r.registered(update{name: "web1", site: "ams", received: at(test.registration)}, now)
			state := func(after time.Duration) State {
				r.tick(now.Add(after))
				return r.nodes["web1"].announced
			}
			if have := state(0); have != test.want {
				t.Errorf("%s at the start, want %s", have, test.want)
			}
			if have := state(6 * mins); test.want == Up && have != Late {
				t.Errorf("%s six minutes after the start, without a registration", have)
			}
			r.registered(update{name: "web1", site: "ams", received: now.Add(7 * mins)}, now.Add(7*mins))
			if have := state(7 * mins); have != Up && test.event.Ended.IsZero() {
				t.Errorf("%s after it has registered", have)
			}
			if have := r.nodes["web1"].Received; !have.Equal(now.Add(7 * mins)) {
				t.Errorf("received at %s", have)
			}
		})
	}
}

// statesOf returns the state of each node.
func statesOf(f *Fleet) map[string]State {
	states := map[string]State{}
	f.withRegistry(func(r *registry, now time.Time) {
		r.tick(now)
		for name, n := range r.nodes {
			states[name] = n.announced
		}
	})
	return states
}

func TestFleet_ClockStepChangesNoState(t *testing.T) {
	for _, by := range []time.Duration{90 * time.Minute, -90 * time.Minute} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.register(4, nil)
			f := s.open(DefaultConfig())
			for n := range 3 { // node 0 is down, node 1 ends just before the step, node 3 has not connected
				s.publishConnection("CONNECT", n)
			}
			s.publishConnection("DISCONNECT", 0)
			s.ahead.Add(int64(30 * time.Second))
			want := map[string]State{nodeName(0): Down, nodeName(1): Up, nodeName(2): Up, nodeName(3): Up}
			wait.Eventually(t, func() error {
				if have := statesOf(f); fmt.Sprint(have) != fmt.Sprint(want) {
					return fmt.Errorf("have %v, want %v", have, want)
				}
				return nil
			})
			s.publishConnection("DISCONNECT", 1)
			if err := s.system.Flush(); err != nil {
				t.Fatal(err)
			}
			s.stepped.Add(int64(by))
			if have := statesOf(f); fmt.Sprint(have) != fmt.Sprint(want) {
				t.Errorf("have %v, want %v", have, want)
			}
			again, err := f.openRegistrations(t.Context()) // reads the registrations from before the step again
			if err != nil {
				t.Fatal(err)
			}
			again.close()
			if have := statesOf(f); fmt.Sprint(have) != fmt.Sprint(want) {
				t.Errorf("after the registrations were read again: have %v, want %v", have, want)
			}
			s.ahead.Add(int64(21 * time.Second))
			want[nodeName(1)] = Down
			wait.Eventually(t, func() error {
				if have := statesOf(f); fmt.Sprint(have) != fmt.Sprint(want) {
					return fmt.Errorf("have %v, want %v", have, want)
				}
				if have := s.eventSubjects(); have[contract.SubjectFleetSite+"clock_step.ams"] != 1 || len(have) != 8 {
					return fmt.Errorf("events %v", have) // new of 4 nodes, down of 2, their storm, and the step
				}
				return nil
			})
			page, err := f.Events(t.Context(), EventQuery{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				if e.Event == eventClockStep && e.Step != by.Seconds() {
					t.Errorf("have %+v", e)
				}
			}
		})
	}
}

func TestFleet_RestoresAStormBeforeAClockStep(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	f := s.open(DefaultConfig())
	f.withRegistry(func(r *registry, now time.Time) {
		r.site("ams").storm = storm{id: "ams-1", since: now, nodes: 3}
		r.emit(r.site("ams").event(eventStorm, "test"))
	})
	s.stepped.Add(int64(time.Hour))
	f.withRegistry(func(*registry, time.Time) {})
	wait.Eventually(t, func() error {
		if have := s.eventSubjects(); len(have) != 2 {
			return fmt.Errorf("events %v", have)
		}
		return nil
	})
	s.killFleet(f)
	f = s.open(DefaultConfig())
	if have := f.Summary().Storms; !slices.Equal(have, []string{"ams"}) {
		t.Errorf("storms %v", have)
	}
}
