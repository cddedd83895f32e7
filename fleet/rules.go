package fleet

import (
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/config"
)

// Rules are the limits that a node's state follows from.
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

// Descriptions returns what each state means, for operators.
func (r *Rules) Descriptions() map[State]string {
	late, down := config.FormatDuration(r.Late), config.FormatDuration(r.Down)
	grace, forget := config.FormatDuration(r.Grace), config.FormatDuration(r.Forget)
	return map[State]string{
		Up:   "registered within the last " + late,
		Late: "no registration for " + late,
		Down: fmt.Sprintf("connection ended and the node did not reconnect within %s; "+
			"or it has not connected since this appliance started and no registration for %s", grace, down),
		Stopped:   fmt.Sprintf("announced its shutdown and disconnected, within %s of each other", grace),
		Connected: "has an open connection here and has not registered yet",
		Forgotten: "down or stopped, without a registration or connection for " + forget + "; no longer in the view",
	}
}
