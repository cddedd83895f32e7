package appliance

import (
	"context"
	"errors"
	"os"
	"time"
)

// DrainTime is how long Close waits for messages that have no verdict yet.
const DrainTime = 30 * time.Second

const (
	// quietTime without a message means that none is on its way.
	quietTime = 200 * time.Millisecond
	// mostQuietTime bounds the wait where something of this process goes on publishing.
	mostQuietTime = 5 * time.Second
)

// Close stops taking messages in, sees those that are in to their verdict, and ends
// everything. It may be called twice, and while Open has not finished its work.
func (a *Appliance) Close(ctx context.Context) error {
	a.close.Do(func() { a.closeErr = a.shut(ctx) })
	return a.closeErr
}

func (a *Appliance) shut(ctx context.Context) error {
	var errs []error
	wasReady := a.ready.Swap(false)
	close(a.quit)
	a.wg.Wait()
	if wasReady {
		a.broker.RefuseNew()
		if a.fleet != nil {
			a.fleet.IgnoreDisconnects()
		}
		nodes, err := a.broker.DisconnectNodes()
		errs = append(errs, err)
		a.waitQuiet(nodes)
	}
	draining, cancel := context.WithTimeout(ctx, DrainTime)
	defer cancel()
	for _, one := range a.adapters {
		errs = append(errs, one.Close(draining))
	}
	if a.fleet != nil {
		errs = append(errs, a.fleet.Close(draining))
	}
	if a.console != nil {
		errs = append(errs, a.console.Close(ctx))
	}
	if a.streams != nil {
		a.streams.Conn().Close()
	}
	if a.broker != nil {
		errs = append(errs, a.broker.Close(ctx))
	}
	if a.lock != nil {
		_ = os.Remove(a.cfg.TokenFile())
		errs = append(errs, a.lock.release())
	}
	if wasReady {
		a.logLedger()
	}
	return errors.Join(errs...)
}

// waitQuiet waits until the adapters receive nothing any more. A connection that the
// server ends goes on being read until its socket is closed, a moment later, and the
// server does not tell when that is.
func (a *Appliance) waitQuiet(nodes int) {
	quiet := quietTime
	if nodes == 0 { // the last may have gone just now
		quiet /= 4
	}
	received := func() (sum uint64) {
		for _, s := range a.Stats() {
			sum += s.Received
		}
		return sum
	}
	last, since := received(), time.Now()
	for start := time.Now(); time.Since(since) < quiet && time.Since(start) < mostQuietTime; {
		time.Sleep(quietTime / 20)
		if now := received(); now != last {
			last, since = now, time.Now()
		}
	}
}

// logLedger is the last thing that is logged.
func (a *Appliance) logLedger() {
	for name, s := range a.Stats() {
		a.log.Info("stopped", "adapter", name, "received", s.Received, "stored", s.Stored, "duplicate", s.Duplicate,
			"rejected", s.AllRejected(), "dropped", s.AllDropped(), "balanced", s.Balanced())
	}
}
