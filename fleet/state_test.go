package fleet

import (
	"testing"
	"time"
)

// stateCase is a node that registered last at startTime, and its state some time later.
type stateCase struct {
	signals Signals
	at      time.Duration // since startTime
	want    State
}

var startTime = time.Unix(1_000_000, 0)

// afterStart returns a time after startTime.
func afterStart(d time.Duration) time.Time { return startTime.Add(d) }

func (c stateCase) run(t *testing.T, started time.Time) {
	t.Helper()
	c.signals.Received = startTime
	rules := testRules(started)
	if got := c.signals.State(afterStart(c.at), &rules); got != c.want {
		t.Errorf("%s, want %s", got, c.want)
	}
}

// One nanosecond before a limit, and exactly at it.
func TestSignals_StateAtLimits(t *testing.T) {
	const ns = time.Nanosecond
	const mins, secs = time.Minute, time.Second
	started := afterStart(-24 * time.Hour)
	shutdown := func(ended, shutdown time.Duration) Signals {
		return Signals{Ended: afterStart(ended), ShutdownAt: afterStart(shutdown)}
	}
	reconnected := shutdown(mins, mins)
	reconnected.Connected = true
	for name, test := range map[string]stateCase{
		"registered":                    {Signals{}, 0, Up},
		"before late":                   {Signals{}, 6*mins - ns, Up},
		"late":                          {Signals{}, 6 * mins, Late},
		"before down":                   {Signals{}, 11*mins - ns, Late},
		"down":                          {Signals{}, 11 * mins, Down},
		"before forgotten":              {Signals{}, time.Hour - ns, Down},
		"forgotten":                     {Signals{}, time.Hour, Forgotten},
		"connected and silent":          {Signals{Connected: true}, 48 * time.Hour, Late},
		"connected":                     {Signals{Connected: true}, mins, Up},
		"disconnected now":              {Signals{Ended: afterStart(mins)}, mins, Up},
		"before end of grace":           {Signals{Ended: afterStart(mins)}, 80*secs - ns, Up},
		"end of grace":                  {Signals{Ended: afterStart(mins)}, 80 * secs, Down},
		"late within grace":             {Signals{Ended: afterStart(6 * mins)}, 6*mins + secs, Late},
		"shutdown, then disconnect":     {shutdown(mins, 59*secs), 80 * secs, Stopped},
		"disconnect, then shutdown":     {shutdown(mins, 80*secs), 80 * secs, Stopped},
		"shutdown long before":          {shutdown(mins, 40*secs-ns), 80 * secs, Down},
		"shutdown, still connected":     {Signals{Connected: true, ShutdownAt: afterStart(secs)}, mins, Up},
		"reconnected":                   {reconnected, 5 * mins, Up},
		"received within grace of end":  {Signals{Ended: afterStart(-20 * secs)}, secs, Down},
		"registers elsewhere":           {Signals{Ended: afterStart(-20*secs - ns)}, secs, Up},
		"disconnected and forgotten":    {Signals{Ended: afterStart(mins)}, 61 * mins, Forgotten},
		"disconnected before forgotten": {Signals{Ended: afterStart(mins)}, 61*mins - ns, Down},
		"clock set back":                {Signals{}, -time.Hour, Up},
		"ended in the future":           {Signals{Ended: afterStart(time.Hour)}, mins, Up},
	} {
		t.Run(name, func(t *testing.T) { test.run(t, started) })
	}
}

// The process started half an hour after the last registration.
func TestSignals_StateAfterRestart(t *testing.T) {
	const mins = time.Minute
	stopped := Signals{Restored: Stopped, Ended: afterStart(mins), ShutdownAt: afterStart(mins)}
	for name, test := range map[string]stateCase{
		"was down":            {Signals{Restored: Down}, 30 * mins, Down},
		"was not known":       {Signals{}, 30 * mins, Down},
		"stays stopped":       {stopped, 31 * mins, Stopped},
		"connected, was down": {Signals{Restored: Down, Connected: true}, 31 * mins, Late},
	} {
		t.Run(name, func(t *testing.T) { test.run(t, afterStart(30*mins)) })
	}
}

// The process started two hours after the last registration, which is longer than Rules.Forget.
func TestSignals_StateAfterLateRestart(t *testing.T) {
	const ns = time.Nanosecond
	const mins, restart = time.Minute, 2 * time.Hour
	for name, test := range map[string]stateCase{
		"was up":                   {Signals{Restored: Up}, restart, Up},
		"was up, before late":      {Signals{Restored: Up}, restart + 6*mins - ns, Up},
		"was up, late":             {Signals{Restored: Up}, restart + 6*mins, Late},
		"was up, before down":      {Signals{Restored: Up}, restart + 11*mins - ns, Late},
		"was up, forgotten at end": {Signals{Restored: Up}, restart + 11*mins, Forgotten},
		"was late":                 {Signals{Restored: Late}, restart, Late},
		"connected, was up":        {Signals{Restored: Up, Connected: true}, restart + mins, Up},
	} {
		t.Run(name, func(t *testing.T) { test.run(t, afterStart(restart)) })
	}
}

// A node that was late before a restart stays late, so the cause is as old as before.
func TestSignals_SinceOfALateNodeAfterARestart(t *testing.T) {
	rules := testRules(afterStart(30 * time.Minute))
	for restored, want := range map[State]time.Duration{Late: 6 * time.Minute, Up: 36 * time.Minute} {
		s := Signals{Received: startTime, Restored: restored}
		if have := s.since(Late, time.Time{}, &rules); !have.Equal(afterStart(want)) {
			t.Errorf("was %s: late since %s after the registration, want %s", restored, have.Sub(startTime), want)
		}
	}
}
