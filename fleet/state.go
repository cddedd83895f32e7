package fleet

import "time"

// State is the state of a node.
type State string

// The states; Rules.Descriptions has what they mean.
const (
	Up        State = "up"
	Late      State = "late"
	Down      State = "down"
	Stopped   State = "stopped"
	Connected State = "connected"
	Forgotten State = "forgotten"

	// Provisioning is the state of a connection of a node in provisioning. It is not one of the nodes.
	Provisioning State = "provisioning"
)

// States are the states of nodes in the view. A forgotten node is not in the view.
var States = []State{Up, Late, Down, Stopped, Connected, Provisioning}

// HasEvents reports whether a node has events while it is in this state: it has registered.
func (s State) HasEvents() bool { return s != Connected && s != Provisioning }

// Signals are what a node's state follows from. Registrations and connections are kept apart:
// a node may be connected and silent, or register over a connection to another broker.
type Signals struct {
	Received   time.Time // when its last registration was received, by the appliance's clock
	Connected  bool      // it has an open connection here
	Ended      time.Time // when the number of its open connections last became 0; zero: never seen
	ShutdownAt time.Time // when its last shutdown event was received; zero: never
	Restored   State     // its state when this process started; empty: not known then
	gaps       gaps      // between its last registrations
}

// State returns the state at a time. Limits are inclusive: a node is late when it has been
// silent for exactly its limit.
func (s *Signals) State(now time.Time, r *Rules) State {
	silent := now.Sub(s.Received)
	late, down := r.limits(&s.gaps)
	// A node that was up or late before a restart gets the whole limit, from the start of this
	// process, to register again.
	hadTime := func(limit time.Duration) bool {
		return s.Restored != Up && s.Restored != Late || now.Sub(r.Started) >= limit
	}
	switch {
	case !s.hasRegistered() && s.Connected:
		return Connected
	case !s.hasRegistered():
		return Forgotten
	case s.lostConnection(r) && !s.Connected && now.Sub(s.Ended) >= r.Grace:
		return s.stateAfterEnd(now, r)
	case !s.Connected && !s.lostConnection(r) && silent >= down && hadTime(down):
		if silent >= r.Forget {
			return Forgotten
		}
		return Down
	case silent >= late && (s.Restored == Late || hadTime(late)):
		return Late
	default:
		return Up
	}
}

// hasRegistered reports whether the node has registered, as far as the streams have it. One that has
// not is in the view only while it is connected.
func (s *Signals) hasRegistered() bool { return !s.Received.IsZero() || s.Restored != "" }

// lostConnection reports whether a connection here ended and no registration was received later
// than Rules.Grace after that end; an earlier one may have been sent before the end. It does not
// consider Connected: it is true for a node that is connected again and has not registered yet.
func (s *Signals) lostConnection(r *Rules) bool {
	return !s.Ended.IsZero() && !s.Received.After(s.Ended.Add(r.Grace))
}

// stateAfterEnd returns the state of a node that did not reconnect within Rules.Grace.
func (s *Signals) stateAfterEnd(now time.Time, r *Rules) State {
	if now.Sub(latest(s.Ended, s.Received)) >= r.Forget {
		return Forgotten
	}
	if !s.ShutdownAt.IsZero() && s.ShutdownAt.Sub(s.Ended).Abs() <= r.Grace {
		return Stopped
	}
	return Down
}

// since returns when the cause of the state happened; connectedAt is when the node's newest
// open connection began, zero if there is none. The time is part of the event's ID, so it must
// be the same whenever the same change is found, also after a restart, and must differ between
// changes. Only a registration changes the gaps, so until the next one the limits stay the same.
func (s *Signals) since(state State, connectedAt time.Time, r *Rules) time.Time {
	lost := !s.Connected && s.lostConnection(r)
	late, down := r.limits(&s.gaps)
	limit := func(d time.Duration) time.Time {
		if s.Restored == Up || s.Restored == Late && state != Late {
			return latest(s.Received, r.Started).Add(d)
		}
		return s.Received.Add(d)
	}
	switch {
	case state == Late:
		return latest(limit(late), connectedAt)
	case state == Stopped || state == Down && lost:
		return s.Ended
	case state == Down:
		return limit(down)
	case state == Forgotten && lost:
		return latest(s.Ended, s.Received).Add(r.Forget)
	case state == Forgotten:
		return s.Received.Add(r.Forget)
	default:
		return latest(s.Received, connectedAt)
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// nextChange returns the next time at which the state may change without a new signal; zero if
// there is none.
func (s *Signals) nextChange(now time.Time, r *Rules) time.Time {
	var next time.Time
	late, down := r.limits(&s.gaps)
	for _, limit := range []time.Time{
		s.Received.Add(late), s.Received.Add(down), s.Received.Add(r.Forget),
		r.Started.Add(late), r.Started.Add(down),
		s.Ended.Add(r.Grace), latest(s.Ended, s.Received).Add(r.Forget),
	} {
		if limit.After(now) && (next.IsZero() || limit.Before(next)) {
			next = limit
		}
	}
	return next
}
