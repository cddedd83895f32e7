package fleet

import (
	"slices"
	"testing"
	"time"
)

func TestGaps_Interval(t *testing.T) {
	const secs, mins, hours = time.Second, time.Minute, time.Hour
	repeat := func(n int, gap ...time.Duration) []time.Duration { return slices.Repeat(gap, n) }
	large := slices.Clip(repeat(10, 30*mins)) // a node of a large fleet
	for name, test := range map[string]struct {
		gaps  []time.Duration // the newest last
		want  time.Duration
		known bool
	}{
		"registered once":                {nil, 0, false},
		"registered twice":               {repeat(1, 5*mins), 5 * mins, false},
		"known":                          {repeat(3, 5*mins), 5 * mins, true},
		"restarted at the beginning":     {[]time.Duration{3 * secs, 3 * secs, 3 * secs}, 3 * secs, false},
		"restarted, then every 30m":      {[]time.Duration{3 * secs, 3 * secs, 3 * secs, 30 * mins}, 30 * mins, true},
		"outage":                         {append(repeat(14, 5*mins), 90*hours), 5 * mins, true},
		"outage in the first period":     {append(repeat(3, 5*mins), 90*hours), 5 * mins, true},
		"outage, then as before":         {[]time.Duration{5 * mins, 5 * mins, 90 * hours, 5 * mins}, 5 * mins, true},
		"outage at the beginning":        {[]time.Duration{90 * hours, 5 * mins, 5 * mins}, 5 * mins, true},
		"outages in each period":         {append(large, repeat(5, 30*mins, 30*mins, 9*hours)...), 30 * mins, true},
		"a skipped registration":         {append(repeat(20, 5*mins), 10*mins, 5*mins), 5 * mins, true},
		"burst of changes":               {append(large, repeat(100, 30*secs)...), 30 * mins, true},
		"bursts between registrations":   {append(large, repeat(50, 28*mins, secs, secs, secs, secs)...), 28 * mins, true},
		"burst, then an outage":          {append(large, append(repeat(10, 30*secs), 90*hours, 3*secs)...), 30 * mins, true},
		"restarted three times":          {append(large, 9*mins, 9*mins, 9*mins, 3*secs), 30 * mins, true},
		"shorter for two intervals":      {append(large, repeat(11, 5*mins)...), 30 * mins, true},
		"shorter for two periods":        {append(large, repeat(36, 5*mins)...), 5 * mins, true},
		"longer for three registrations": {append(repeat(20, 5*mins), repeat(3, 30*mins)...), 30 * mins, true},
		"two outages of weeks":           {append(repeat(2, 500*hours, 5*mins), repeat(1729, 5*mins)...), 5 * mins, true},
		"once a day, with restarts":      {append(repeat(5, 24*hours), repeat(9, 5*secs)...), 24 * hours, true},
		"less than a millisecond":        {repeat(3, 1), time.Millisecond, false},
		"longer than what can be stored": {repeat(1, 90*24*hours), 4294967295 * time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			var g gaps
			for _, gap := range test.gaps {
				g.add(gap)
			}
			if interval, known := g.interval(); interval != test.want || known != test.known {
				t.Errorf("%s, %v; want %s, %v", interval, known, test.want, test.known)
			}
		})
	}
}

// What an event has of an interval gives the same interval after a restart.
func TestGapsOf_KeepsTheIntervalOfAnEvent(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Millisecond, 299_999 * time.Millisecond, 30 * time.Minute} {
		e := Event{Interval: interval.Seconds()}
		g := gapsOf(e.interval())
		if have, known := g.interval(); have != interval || known != (interval > 0) {
			t.Errorf("%s, %v; want %s", have, known, interval)
		}
	}
	for _, seconds := range []float64{-5, 1e300} {
		e := Event{Interval: seconds}
		if e.interval() < 0 {
			t.Errorf("%v seconds are %s", seconds, e.interval())
		}
	}
}
