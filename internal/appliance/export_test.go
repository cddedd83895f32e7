package appliance

import (
	"time"

	"github.com/nats-io/nats.go"
)

// ConnectSystem connects to the system account, in which the server reports its connections.
func (a *Appliance) ConnectSystem() (*nats.Conn, error) { return a.broker.ConnectSystem("test") }

// SetClock sets the clock that the appliance reads.
func (a *Appliance) SetClock(by time.Duration) {
	a.clock.mu.Lock()
	defer a.clock.mu.Unlock()
	source := a.clock.source
	a.clock.source = func() (time.Time, time.Duration) {
		now, monotonic := source()
		return now.Add(by), monotonic
	}
}
