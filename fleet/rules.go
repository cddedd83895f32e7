package fleet

import (
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/config"
)

// Limits that follow from the interval of a node.
const (
	// limitMargin is added to the multiples of the interval.
	limitMargin = time.Minute
	// minLate and minDown are the shortest limits. A node with Choria's default interval of 5 minutes
	// meets them, even if the interval is underestimated.
	minLate, minDown = 6 * time.Minute, 11 * time.Minute
	// unknownLate and unknownDown are the shortest limits of a node whose interval is not known: it may
	// be 30 minutes, which Choria recommends for large fleets.
	unknownLate, unknownDown = 35 * time.Minute, 70 * time.Minute
)

// Rules are the limits that a node's state follows from. Late and Down are 0 where they follow from the
// interval of the node; see limits.
type Rules struct {
	Late    time.Duration // without a registration, until a node is late
	Down    time.Duration // without a registration, until a node that has not connected since the start is down
	Forget  time.Duration // without a registration or connection, until a node that is down or stopped is forgotten
	Grace   time.Duration // disconnected, until a node is down or stopped
	Started time.Time     // when this process started to watch

	// Conflict is how long two connections of a node must be open until they are a conflict; longer than the
	// broker needs to end a dead connection. 0: conflicts are not noticed.
	Conflict time.Duration
}

// limits returns Late and Down for a node that registered with these gaps. Down is never before Late: a
// limit that follows from the interval gives way to the other one.
func (r *Rules) limits(g *gaps) (late, down time.Duration) {
	interval, known := g.interval()
	late, down = max(2*interval+limitMargin, minLate), max(3*interval+limitMargin, minDown)
	if !known {
		late, down = max(late, unknownLate), max(down, unknownDown)
	}
	switch {
	case r.Late > 0 && r.Down > 0:
		return r.Late, r.Down
	case r.Late > 0:
		return r.Late, max(down, r.Late)
	case r.Down > 0:
		return min(late, r.Down), r.Down
	default:
		return late, down
	}
}

// Descriptions returns what each state means, for operators.
func (r *Rules) Descriptions() map[State]string {
	late := describeLimit(r.Late, "two", minLate, unknownLate)
	down := describeLimit(r.Down, "three", minDown, unknownDown)
	grace, forget := config.FormatDuration(r.Grace), config.FormatDuration(r.Forget)
	return map[State]string{
		Up:   "registered within the last " + late,
		Late: "no registration for " + late,
		Down: fmt.Sprintf("connection ended and the node did not reconnect within %s; "+
			"or it has not connected since this appliance started and no registration for %s", grace, down),
		Stopped:      fmt.Sprintf("announced its shutdown and disconnected, within %s of each other", grace),
		Connected:    "has an open connection here and has not registered yet",
		Provisioning: "connected with a provisioning token, which does not prove the name; not counted as a node",
		Forgotten:    "down or stopped, without a registration or connection for " + forget + "; no longer in the view",
	}
}

// describeLimit returns a limit in words. It is 0 if it follows from the interval of the node.
func describeLimit(limit time.Duration, multiple string, shortest, unknown time.Duration) string {
	if limit > 0 {
		return config.FormatDuration(limit)
	}
	return fmt.Sprintf("%s of its intervals and %s (at least %s; %s while its interval is not known)", multiple,
		config.FormatDuration(limitMargin), config.FormatDuration(shortest), config.FormatDuration(unknown))
}
