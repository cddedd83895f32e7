package fleet

import "time"

// State is what a node is.
type State string

// The states. The rules are in the words that people read (Rules.Words).
const (
	Up        State = "up"
	Late      State = "late"
	Down      State = "down"
	Stopped   State = "stopped"
	Forgotten State = "forgotten"
)

// States are those that nodes of the view can be in: who is forgotten is not in it.
var States = []State{Up, Late, Down, Stopped}

// Signals are what a node's state follows from. There are two of them, kept apart: that it
// registers, and that it is connected.
type Signals struct {
	Received   time.Time // its last registration, by the site's clock
	Connected  bool      // a connection of it is open, here
	Ended      time.Time // when its last connection ended; zero: none has been seen to end
	ShutdownAt time.Time // when it last said that it stops; zero: never
	Restored   State     // what it was when this process began to watch; empty: not known then
}

// State is what the signals say at that moment. Limits are inclusive: a node is late when
// it has been silent for exactly late_after.
func (s *Signals) State(now time.Time, r *Rules) State {
	silent := now.Sub(s.Received)
	// What was up must have had the time to register here, since we began to listen.
	listened := func(limit time.Duration) bool {
		return s.Restored != Up && s.Restored != Late || now.Sub(r.Started) >= limit
	}
	switch {
	case s.gone(r) && !s.Connected && now.Sub(s.Ended) >= r.Grace:
		return s.afterEnd(now, r)
	case !s.Connected && !s.gone(r) && silent >= r.Down && listened(r.Down):
		if silent >= r.Forget {
			return Forgotten
		}
		return Down
	case silent >= r.Late && (s.Restored == Late || listened(r.Late)):
		return Late
	default:
		return Up
	}
}

// gone tells whether the node's connection ended and no other one can be what it registers
// over. What it had sent may be received a moment after its end.
func (s *Signals) gone(r *Rules) bool {
	return !s.Ended.IsZero() && !s.Received.After(s.Ended.Add(r.Grace))
}

// afterEnd is the state of a node whose connection has ended for good.
func (s *Signals) afterEnd(now time.Time, r *Rules) State {
	if now.Sub(latest(s.Ended, s.Received)) >= r.Forget {
		return Forgotten
	}
	if !s.ShutdownAt.IsZero() && s.ShutdownAt.Sub(s.Ended).Abs() <= r.Grace {
		return Stopped
	}
	return Down
}

// cause is the moment from which on the state is what it is. It is part of the id of the
// event that tells of it, so that the same change is never stored twice, and another one
// never taken for it: began is when the newest connection did.
func (s *Signals) cause(state State, began time.Time, r *Rules) time.Time {
	gone := !s.Connected && s.gone(r)
	limit := func(d time.Duration) time.Time {
		if s.Restored == Up || s.Restored == Late {
			return latest(s.Received, r.Started).Add(d)
		}
		return s.Received.Add(d)
	}
	switch {
	case state == Late:
		return latest(limit(r.Late), began)
	case state == Stopped || state == Down && gone:
		return s.Ended
	case state == Down:
		return limit(r.Down)
	case state == Forgotten && gone:
		return latest(s.Ended, s.Received).Add(r.Forget)
	case state == Forgotten:
		return s.Received.Add(r.Forget)
	default:
		return latest(s.Received, began)
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// due is the next moment at which time alone may change the state; zero where none may.
func (s *Signals) due(now time.Time, r *Rules) time.Time {
	var next time.Time
	for _, limit := range []time.Time{
		s.Received.Add(r.Late), s.Received.Add(r.Down), s.Received.Add(r.Forget),
		r.Started.Add(r.Late), r.Started.Add(r.Down),
		s.Ended.Add(r.Grace), latest(s.Ended, s.Received).Add(r.Forget),
	} {
		if limit.After(now) && (next.IsZero() || limit.Before(next)) {
			next = limit
		}
	}
	return next
}
