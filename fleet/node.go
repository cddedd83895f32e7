package fleet

import (
	"strings"
	"time"
	"unique"

	"github.com/muster-appliance/muster/internal/config"
)

// node is what the registry knows of one node. A node is added to the registry when it registers, or
// when a connection that the broker admitted as a node's begins.
type node struct {
	name, site string
	Signals
	connections   *connections  // nil: never seen connected here
	announced     State         // that is shown and counted; unless it is Connected, also in the last event
	since         time.Time     // when the cause of the announced state happened
	scheduleIndex int           // index in the schedule
	facts         *indexedFacts // nil: none are known
	factsRead     int64         // when they were last read from a registration, in Unix seconds; 0: never
	registeredOn  interned      // template of the subject of its registrations
	conflict      time.Time     // when both nodes that use the identity were connected; zero: no conflict
	stored        time.Time     // Received of its last registration as the stream has it
	remote        *forwarded    // nil: it is a node of this appliance
	provisioning  string        // see provisioningKey; empty: it is not a node in provisioning
}

// noteRegistration keeps what a registration tells beside the time: its subject and facts. isNew is that it is
// neither the last one that was read nor older.
func (n *node) noteRegistration(u update, isNew bool, now time.Time) {
	if isNew || n.registeredOn == (interned{}) {
		n.registeredOn = u.subject
	}
	if !isNew && !u.received.Equal(n.stored) {
		return
	}
	n.stored = u.received // if equal, the node may be restored from an event, which has no facts
	if u.facts != nil {
		n.facts = u.facts
	}
	if u.factsRead {
		n.factsRead = now.Unix()
	}
}

// isNew reports whether a registration is neither the last one that was read nor older. If the last
// one is from the future, the clock was set back, and times say only whether they are the same.
func (n *node) isNew(u update, now time.Time) bool {
	if n.stored.After(now) {
		return !u.received.Equal(n.stored)
	}
	return u.received.After(n.stored)
}

// copyConnection copies what is known of the node's connections into its signals.
func (n *node) copyConnection() {
	if n.connections != nil {
		n.Connected, n.Ended = len(n.connections.open) > 0, n.connections.ended
	}
}

// subjectTemplate returns a subject with %s in place of the sender, as in the adapter's
// configuration. All nodes of an adapter share the template, so it costs them no memory.
func subjectTemplate(subject, sender string) interned {
	if at := strings.LastIndex(subject, sender); at >= 0 {
		subject = subject[:at] + "%s" + subject[at+len(sender):]
	}
	return unique.Make(subject)
}

// subject returns the subject of the node's registrations; empty if it is not known.
func (n *node) subject() string {
	if n == nil || n.registeredOn == (interned{}) {
		return ""
	}
	return strings.Replace(n.registeredOn.Value(), "%s", n.name, 1)
}

// event returns the event of a change to another state.
func (n *node) event(to State, r *Rules) *Event {
	e := &Event{
		Event: string(to), Node: n.name, From: n.announced, To: to, Site: n.site,
		Received: n.Received, Ended: n.Ended, ShutdownAt: n.ShutdownAt,
		Since: n.sinceOf(to, r), Reason: n.reason(to, r),
	}
	if interval, known := n.gaps.interval(); known {
		e.Interval = interval.Seconds()
	}
	if n.isNewcomer() {
		e.Event, e.From = eventNew, ""
	}
	if n.connections != nil {
		e.Address = n.connections.address
	}
	return e
}

// isNewcomer reports whether no event has told of the node: it is being added, or it is connected and has
// not registered.
func (n *node) isNewcomer() bool { return n.announced == "" || n.announced == Connected }

// sinceOf returns when the cause of a state happened.
func (n *node) sinceOf(state State, r *Rules) time.Time {
	var connectedAt time.Time
	if n.Connected && n.connections != nil {
		connectedAt = n.connections.since
	}
	return n.Signals.since(state, connectedAt, r)
}

// reason returns why the node is in a state, for operators.
func (n *node) reason(state State, r *Rules) string {
	late, down := r.limits(&n.gaps)
	switch {
	case state == Connected:
		return "connected, but has not registered yet"
	case state == Up && n.isNewcomer():
		return "registered for the first time"
	case state == Up && n.Connected && n.connections.since.After(n.Received):
		return "connected again"
	case state == Up:
		return "registered"
	case state == Late && n.Connected:
		return "connected, but " + n.silence(late, r.Late)
	case state == Late:
		return n.silence(late, r.Late)
	case state == Stopped:
		return "announced its shutdown and disconnected"
	case state == Forgotten:
		return "no registration or connection for " + config.FormatDuration(r.Forget)
	case n.lostConnection(r):
		return n.endReason() + " and the node did not reconnect within " + config.FormatDuration(r.Grace)
	default:
		return n.silence(down, r.Down)
	}
}

// silence returns that the node has not registered for a limit, and what the limit follows from if it is
// not configured.
func (n *node) silence(limit, configured time.Duration) string {
	text := "no registration for " + config.FormatDuration(limit.Round(time.Second))
	interval, known := n.gaps.interval()
	switch {
	case configured > 0:
		return text
	case !known:
		return text + "; how often it registers is not known yet"
	default:
		if interval > time.Second {
			interval = interval.Round(time.Second)
		}
		return text + "; it registers every " + config.FormatDuration(interval)
	}
}

// endReason returns that the node's connection ended, with the server's reason if it is known.
func (n *node) endReason() string {
	if n.connections == nil || n.connections.reason == "" {
		return "connection ended"
	}
	return "connection ended (" + n.connections.reason + ")"
}
