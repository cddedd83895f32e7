package fleet

import (
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/config"
)

// node is one that has registered.
type node struct {
	name, site string
	Signals
	every  time.Duration // how often it usually registers
	link   *link         // nil: never seen connected here
	state  State         // as announced
	since  time.Time     // of that state
	slot   int           // in the schedule
	inside *inside       // what it registered, as far as it is kept
	topic  word          // where that is stored
}

// learn takes the time between two registrations into account, the latest ones most.
func (n *node) learn(gap time.Duration) {
	if n.every == 0 {
		n.every = gap
		return
	}
	n.every += (gap - n.every) / 4
}

// adopt takes over what is known of the node's connections.
func (n *node) adopt() {
	if n.link != nil {
		n.Connected, n.Ended = len(n.link.live) > 0, n.link.ended
	}
}

func (n *node) event(to State, r *Rules) *Event {
	e := &Event{
		Event: string(to), Node: n.name, From: n.state, To: to, Site: n.site,
		Received: n.Received, Ended: n.Ended, ShutdownAt: n.ShutdownAt, Since: n.causeOf(to, r), Reason: n.reason(to, r),
	}
	if n.state == "" {
		e.Event = kindNew
	}
	if n.link != nil {
		e.Address = n.link.address
	}
	return e
}

func (n *node) causeOf(state State, r *Rules) time.Time {
	var began time.Time
	if n.Connected && n.link != nil {
		began = n.link.since
	}
	return n.cause(state, began, r)
}

// reason says in words why a node is what it is.
func (n *node) reason(state State, r *Rules) string {
	switch {
	case state == Up && n.state == "":
		return "registered for the first time"
	case state == Up && n.Connected && n.link.since.After(n.Received):
		return "connected again"
	case state == Up:
		return "registered"
	case state == Late && n.Connected:
		return "connected, but no registration for " + config.FormatDuration(r.Late)
	case state == Late:
		return "no registration for " + config.FormatDuration(r.Late)
	case state == Stopped:
		return "announced its shutdown and disconnected"
	case state == Forgotten:
		return fmt.Sprintf("%s for %s", n.state, config.FormatDuration(r.Forget))
	case n.gone(r):
		return n.ending() + " and the node did not reconnect within " + config.FormatDuration(r.Grace)
	default:
		return "no registration for " + config.FormatDuration(r.Down)
	}
}

// ending says why the node's connection ended, as the server put it.
func (n *node) ending() string {
	if n.link == nil || n.link.reason == "" {
		return "connection ended"
	}
	return "connection ended (" + n.link.reason + ")"
}
