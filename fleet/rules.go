package fleet

import (
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/config"
)

// Rules are the times that decide what a node is.
type Rules struct {
	Late    time.Duration
	Down    time.Duration
	Forget  time.Duration
	Grace   time.Duration
	Started time.Time // when this process began to listen
}

// Words say the rules as people read them, by state.
func (r *Rules) Words() map[State]string {
	late, down, grace, forget := config.FormatDuration(r.Late), config.FormatDuration(r.Down), config.FormatDuration(r.Grace), config.FormatDuration(r.Forget)
	return map[State]string{
		Up:        "registered within the last " + late,
		Late:      "no registration for " + late,
		Down:      fmt.Sprintf("connection ended and the node did not reconnect within %s; or never connected here and no registration for %s", grace, down),
		Stopped:   fmt.Sprintf("announced its shutdown and disconnected, within %s of each other", grace),
		Forgotten: "down or stopped for " + forget + "; no longer in the view",
	}
}
