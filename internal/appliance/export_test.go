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

// ReopenStore closes and opens the store, as the broker does after write errors.
func (a *Appliance) ReopenStore() error {
	a.recorder.reopened.Store(true) // so that nothing is compared before noteReopened
	err := a.broker.SkipTo(nil)
	a.recorder.noteReopened()
	return err
}

// Recorded returns the last sequence of a stream in the record.
func (a *Appliance) Recorded(stream string) (last uint64) {
	a.recorder.mu.Lock()
	defer a.recorder.mu.Unlock()
	if e := a.recorder.record.Streams[stream]; e != nil {
		return e.Last
	}
	return 0
}

// AuditCounts returns how many actions have a stored record, and how many are only in the log.
func (a *Appliance) AuditCounts() (recorded, unrecorded uint64) { return a.audit.Counts() }
