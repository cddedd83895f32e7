package fleet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func testRules(started time.Time) Rules {
	return Rules{Late: 6 * time.Minute, Down: 11 * time.Minute, Forget: time.Hour, Grace: 20 * time.Second, Started: started}
}

func TestStatesAtTheVerySecondOfEachLimit(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	long := start.Add(-24 * time.Hour) // the process has listened for a day
	const edge = time.Nanosecond
	after := func(d time.Duration) time.Time { return start.Add(d) }
	for name, test := range map[string]struct {
		signals Signals
		started time.Time
		at      time.Duration
		want    State
	}{
		"just registered":         {Signals{}, long, 0, Up},
		"a moment before late":    {Signals{}, long, 6*time.Minute - edge, Up},
		"late":                    {Signals{}, long, 6 * time.Minute, Late},
		"a moment before down":    {Signals{}, long, 11*time.Minute - edge, Late},
		"down":                    {Signals{}, long, 11 * time.Minute, Down},
		"a moment before forgot":  {Signals{}, long, time.Hour - edge, Down},
		"forgotten":               {Signals{}, long, time.Hour, Forgotten},
		"connected and silent":    {Signals{Connected: true}, long, 48 * time.Hour, Late},
		"connected":               {Signals{Connected: true}, long, time.Minute, Up},
		"connection just ended":   {Signals{Ended: after(time.Minute)}, long, time.Minute, Up},
		"a moment before grace":   {Signals{Ended: after(time.Minute)}, long, 80*time.Second - edge, Up},
		"grace is over":           {Signals{Ended: after(time.Minute)}, long, 80 * time.Second, Down},
		"late within the grace":   {Signals{Ended: after(6 * time.Minute)}, long, 6*time.Minute + time.Second, Late},
		"goodbye and end":         {Signals{Ended: after(time.Minute), ShutdownAt: after(59 * time.Second)}, long, 80 * time.Second, Stopped},
		"end and goodbye":         {Signals{Ended: after(time.Minute), ShutdownAt: after(80 * time.Second)}, long, 80 * time.Second, Stopped},
		"goodbye long before":     {Signals{Ended: after(time.Minute), ShutdownAt: after(40*time.Second - edge)}, long, 80 * time.Second, Down},
		"goodbye and still there": {Signals{Connected: true, ShutdownAt: after(time.Second)}, long, time.Minute, Up},
		"came back":               {Signals{Connected: true, Ended: after(time.Minute), ShutdownAt: after(time.Minute)}, long, 5 * time.Minute, Up},
		"received after the end":  {Signals{Ended: after(-20 * time.Second)}, long, time.Second, Down},
		"registers elsewhere":     {Signals{Ended: after(-20*time.Second - edge)}, long, time.Second, Up},
		"gone and forgotten":      {Signals{Ended: after(time.Minute)}, long, 61 * time.Minute, Forgotten},
		"gone, not yet forgotten": {Signals{Ended: after(time.Minute)}, long, 61*time.Minute - edge, Down},
		"the clock goes back":     {Signals{}, long, -time.Hour, Up},
		"ends in the future":      {Signals{Ended: after(time.Hour)}, long, time.Minute, Up},

		// A process that began to listen two hours after the last registration.
		"restart, was up":              {Signals{Restored: Up}, after(2 * time.Hour), 2 * time.Hour, Up},
		"restart, has had no time":     {Signals{Restored: Up}, after(2 * time.Hour), 2*time.Hour + 6*time.Minute - edge, Up},
		"restart, has had its time":    {Signals{Restored: Up}, after(2 * time.Hour), 2*time.Hour + 6*time.Minute, Late},
		"restart, a moment to down":    {Signals{Restored: Up}, after(2 * time.Hour), 2*time.Hour + 11*time.Minute - edge, Late},
		"restart, forgotten at once":   {Signals{Restored: Up}, after(2 * time.Hour), 2*time.Hour + 11*time.Minute, Forgotten},
		"restart, was late":            {Signals{Restored: Late}, after(2 * time.Hour), 2 * time.Hour, Late},
		"restart, was down":            {Signals{Restored: Down}, after(30 * time.Minute), 30 * time.Minute, Down},
		"restart, was not known":       {Signals{}, after(30 * time.Minute), 30 * time.Minute, Down},
		"restart, stopped stays so":    {Signals{Restored: Stopped, Ended: after(time.Minute), ShutdownAt: after(time.Minute)}, after(30 * time.Minute), 31 * time.Minute, Stopped},
		"restart, connected, was up":   {Signals{Restored: Up, Connected: true}, after(2 * time.Hour), 2*time.Hour + time.Minute, Up},
		"restart, connected, was down": {Signals{Restored: Down, Connected: true}, after(30 * time.Minute), 31 * time.Minute, Late},
	} {
		test.signals.Received = start
		rules := testRules(test.started)
		if have := test.signals.State(start.Add(test.at), &rules); have != test.want {
			t.Errorf("%s: %s, want %s", name, have, test.want)
		}
	}
}

// watched is a book, with the events that came out of it.
type watched struct {
	*registry
	events []*Event
}

func newWatched(rules Rules) *watched {
	w := &watched{}
	w.registry = newRegistry(rules, 20, func(e *Event) { w.events = append(w.events, e) })
	return w
}

// told are the events of nodes, as words.
func (w *watched) told() []string {
	var words []string
	for _, e := range w.events {
		words = append(words, e.Event)
	}
	return words
}

func TestTimeAloneMakesItsEventsWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(testRules(time.Now().Add(-time.Hour)))
		w.registered(update{name: "web1", site: "ams", received: time.Now()}, time.Now())
		for _, step := range []struct {
			wait time.Duration
			want []string
		}{
			{6*time.Minute - time.Nanosecond, []string{"new"}},
			{time.Nanosecond, []string{"new", "late"}},
			{5*time.Minute - time.Nanosecond, []string{"new", "late"}},
			{time.Nanosecond, []string{"new", "late", "down"}},
			{49*time.Minute - time.Nanosecond, []string{"new", "late", "down"}},
			{time.Nanosecond, []string{"new", "late", "down", "forgotten"}},
			{time.Hour, []string{"new", "late", "down", "forgotten"}},
		} {
			time.Sleep(step.wait)
			w.tick(time.Now())
			if have := w.told(); !slices.Equal(have, step.want) {
				t.Fatalf("have %v, want %v", have, step.want)
			}
		}
		if len(w.nodes) != 0 || w.counts[Down] != 0 {
			t.Errorf("a forgotten node is still there: %v", w.counts)
		}
	})
}

func TestAClockThatJumpsLeavesTheStateThatItSays(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	w := newWatched(testRules(now.Add(-time.Hour)))
	w.registered(update{name: "web1", received: now}, now)
	for _, jump := range []time.Duration{7 * time.Minute, -time.Hour, 12 * time.Minute, time.Minute, 6 * time.Minute, 0} {
		at := now.Add(jump)
		w.tick(at)
		n := w.nodes["web1"]
		if want := n.State(at, &w.rules); n.state != want {
			t.Errorf("%s: %s, want %s", jump, n.state, want)
		}
	}
	if want := []string{"new", "late", "up", "down", "up", "late", "up"}; !slices.Equal(w.told(), want) {
		t.Errorf("have %v, want %v", w.told(), want)
	}
}

func TestAnOldConnectionsEndDownsNobody(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	w := newWatched(testRules(now.Add(-time.Hour)))
	w.registered(update{name: "web1", received: now}, now)
	id := func(n int) connID { return connID{"S", uint64(n)} }
	w.connected("web1", openConnection{id(0), now, "10.0.0.1", true}, now)
	for n := range 4000 { // every other time the new one is seen before the old one ends
		now = now.Add(time.Millisecond)
		if n%2 == 0 {
			w.connected("web1", openConnection{id(n + 1), now, "10.0.0.1", true}, now)
			w.disconnected("web1", id(n), now, "Client Closed", now)
		} else {
			w.disconnected("web1", id(n), now, "Client Closed", now)
			w.connected("web1", openConnection{id(n + 1), now, "10.0.0.1", true}, now)
		}
		w.disconnected("web1", id(n), now, "Client Closed", now) // and again
		w.tick(now)
	}
	w.tick(now.Add(time.Minute))
	if want := []string{"new"}; !slices.Equal(w.told(), want) {
		t.Errorf("have %v", w.told())
	}
	w.disconnected("web1", id(4000), now, "Client Closed", now)
	w.tick(now.Add(20 * time.Second))
	if want := []string{"new", "down"}; !slices.Equal(w.told(), want) {
		t.Errorf("have %v", w.told())
	}
	if len(w.connections) != 0 {
		t.Errorf("%d links of who is not connected", len(w.connections))
	}
}

func TestOtherRulesJudgeAnew(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	rules := testRules(now.Add(-time.Hour))
	w := newWatched(rules)
	w.registered(update{name: "web1", site: "ams", received: now}, now)
	now = now.Add(3 * time.Minute)
	w.tick(now)
	rules.Late = 2 * time.Minute
	w.setRules(rules, 20, now)
	rules.Late = 4 * time.Minute
	w.setRules(rules, 20, now)
	w.tick(now.Add(time.Minute))
	if want := []string{"new", "late", "up", "late"}; !slices.Equal(w.told(), want) {
		t.Errorf("have %v", w.told())
	}
}
