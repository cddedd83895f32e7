package fleet

import (
	"testing"
	"time"
)

func TestGaps_Interval(t *testing.T) {
	const secs, mins, hours = time.Second, time.Minute, time.Hour
	for name, test := range map[string]struct {
		gaps  []time.Duration // the newest last
		want  time.Duration
		known bool
	}{
		"registered once":                {nil, 0, false},
		"registered twice":               {[]time.Duration{5 * mins}, 5 * mins, false},
		"restarted at the beginning":     {[]time.Duration{5 * mins, 3 * secs}, 5 * mins, false},
		"known":                          {[]time.Duration{5 * mins, 5 * mins, 5 * mins}, 5 * mins, true},
		"outage":                         {[]time.Duration{5 * mins, 5 * mins, 5 * mins, 90 * hours}, 5 * mins, true},
		"outage, then as before":         {[]time.Duration{5 * mins, 5 * mins, 90 * hours, 5 * mins}, 5 * mins, true},
		"outage at the beginning":        {[]time.Duration{90 * hours, 5 * mins, 5 * mins}, 5 * mins, true},
		"restarted twice":                {[]time.Duration{30 * mins, 30 * mins, 4 * mins, 3 * secs}, 30 * mins, true},
		"outage and restart":             {[]time.Duration{30 * mins, 30 * mins, 90 * hours, 3 * secs}, 30 * mins, true},
		"a skipped registration":         {[]time.Duration{5 * mins, 5 * mins, 10 * mins, 5 * mins}, 5 * mins, true},
		"shorter since three":            {[]time.Duration{30 * mins, 5 * mins, 5 * mins, 5 * mins}, 5 * mins, true},
		"longer since two":               {[]time.Duration{5 * mins, 5 * mins, 30 * mins, 30 * mins}, 30 * mins, true},
		"only the last four":             {[]time.Duration{hours, hours, mins, mins, mins, mins}, mins, true},
		"less than a millisecond":        {[]time.Duration{1, 1, 1}, time.Millisecond, true},
		"longer than what can be stored": {[]time.Duration{90 * 24 * hours}, 4294967295 * time.Millisecond, false},
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
