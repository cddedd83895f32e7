package fleet

import (
	"fmt"
	"time"
)

// clockStep is the last step of the clock. The registry has times as the clock is set now: after a
// step all of them move, so that durations stay what they were.
type clockStep struct {
	by     time.Duration // negative: it was set back
	before time.Time     // time of the step, as the clock was set before it
}

// withRegistry calls do with the registry locked, and with the time. If the clock was set since the
// last call, it moves the registry's times first.
func (f *Fleet) withRegistry(do func(r *registry, now time.Time)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, stepped := f.opts.Clock()
	if by := stepped - f.stepped; by != 0 {
		f.stepped = stepped
		f.registry.moveTimes(clockStep{by: by, before: now.Add(-by)})
		f.registry.emit(f.clockStepEvent(by, now))
	}
	do(f.registry, now)
	f.shared.Store(int64(f.registry.shared))
}

// clockStepEvent returns the event of a step.
func (f *Fleet) clockStepEvent(by time.Duration, now time.Time) *Event {
	direction := "forward"
	if by < 0 {
		direction = "back"
	}
	return &Event{
		Event: eventClockStep, Site: f.opts.Site, Since: now, Step: by.Seconds(),
		Reason: fmt.Sprintf("the clock was set %s by %s, or the machine was suspended",
			direction, by.Abs().Round(time.Millisecond)),
	}
}

// adjust returns a time that a message or event has as the clock is set now. A time before the last
// step forward was taken before that step: the clock never showed the times in between. A time in
// the future was taken before a step back, or by the clock of another site; it counts as now.
func (r *registry) adjust(t, now time.Time) time.Time {
	if r.step.by > 0 && !t.After(r.step.before) {
		t = t.Add(r.step.by)
	}
	if t.After(now) {
		return now
	}
	return t
}

// move moves those of the times that are set.
func (s clockStep) move(times ...*time.Time) {
	for _, t := range times {
		if !t.IsZero() {
			*t = t.Add(s.by)
		}
	}
}

// moveTimes moves every time of the registry by a step of the clock. No state changes.
func (r *registry) moveTimes(step clockStep) {
	r.step = step
	move := step.move
	move(&r.rules.Started, &r.lastTick)
	moved := map[*connections]bool{}
	moveConnections := func(cs *connections) {
		if cs != nil && !moved[cs] {
			moved[cs] = true
			move(&cs.since, &cs.ended)
			for i := range cs.open {
				move(&cs.open[i].since, &cs.open[i].registered)
			}
		}
	}
	for _, cs := range r.connections {
		moveConnections(cs)
	}
	for _, n := range r.nodes {
		moveConnections(n.connections)
		move(&n.Received, &n.Ended, &n.ShutdownAt, &n.since, &n.conflict)
	}
	for _, n := range r.provisioning {
		if n != nil {
			moveConnections(n.connections)
			move(&n.since)
		}
	}
	for _, s := range r.sites {
		move(&s.storm.since, &s.storm.until)
		for i := range s.downTimes {
			move(&s.downTimes[i])
		}
	}
	for _, s := range r.remotes { // not those of their nodes: they are of other clocks
		move(&s.since, &s.heard, &s.asOf, &s.ended, &s.snapshot.applied)
	}
	r.schedule.move(step.by)
}

// storedAt returns when the event was stored at the earliest, by the clock that stored it.
func (e *Event) storedAt(r *Rules) time.Time {
	if !e.Ended.IsZero() && e.Since.Equal(e.Ended) {
		return e.Since.Add(r.Grace)
	}
	return e.Since
}

// notAfter moves the times of an event of an earlier process back if that process stored it in the
// future: the clock was ahead then. The event then happened at the limit, so that its state still
// follows from its times.
func (e *Event) notAfter(limit time.Time, r *Rules) {
	ahead := e.storedAt(r).Sub(limit)
	if ahead <= 0 {
		return
	}
	for _, t := range []*time.Time{&e.Since, &e.Received, &e.Ended, &e.ShutdownAt} {
		if !t.IsZero() {
			*t = t.Add(-ahead)
		}
	}
}
