package appliance

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/muster-appliance/muster/internal/integrity"
)

// DrainTimeout is how long Close waits for the outcomes of messages.
const DrainTimeout = 30 * time.Second

const (
	// noMessagesTime: after this long without a message, everything has arrived.
	noMessagesTime = 200 * time.Millisecond
	// maxReceiveWait limits waitReceived if something in this process goes on publishing.
	maxReceiveWait = 5 * time.Second
)

// Close refuses new connections, waits up to DrainTimeout for the outcomes of the received
// messages, and closes every component. It may be called twice, and after a failed Open.
func (a *Appliance) Close(ctx context.Context) error {
	a.closeOnce.Do(func() { a.closeErr = a.closeAll(ctx) })
	return a.closeErr
}

func (a *Appliance) closeAll(ctx context.Context) error {
	var errs []error
	wasReady := a.ready.Swap(false)
	close(a.quit)
	a.cancel()
	a.wg.Wait()
	if wasReady {
		a.broker.RefuseNew()
		_ = a.governors.Close(ctx) // while nodes can receive their acks; it always returns nil
		if a.fleet != nil {
			a.fleet.StopConnectionEvents()
		}
		nodes, err := a.broker.DisconnectExternal()
		errs = append(errs, err)
		a.waitReceived(nodes)
	}
	draining, cancel := context.WithTimeout(ctx, DrainTimeout)
	defer cancel()
	for _, ad := range a.adapters {
		errs = append(errs, ad.Close(draining))
	}
	for _, f := range a.forwards {
		errs = append(errs, f.Close(draining))
	}
	if a.fleet != nil {
		errs = append(errs, a.fleet.Close(draining))
	}
	if a.console != nil {
		errs = append(errs, a.console.Close(ctx))
	}
	errs = append(errs, a.audit.Close(draining), a.closeStore(ctx))
	if a.lock != nil {
		_ = os.Remove(a.cfg.TokenFile())
		errs = append(errs, a.lock.release())
	}
	if wasReady {
		a.logLedger()
	}
	return errors.Join(errs...)
}

// closeStore stops the broker, and records the streams as they were at the end.
func (a *Appliance) closeStore(ctx context.Context) error {
	if a.streams != nil {
		a.streams.Conn().Close()
	}
	if a.broker == nil {
		return nil
	}
	var last []integrity.Stream
	known := false
	if a.recorder.streams != nil { // the broker was opened
		last, known = a.broker.Streams()
	}
	if a.governors != nil {
		_ = a.governors.Close(ctx)
	}
	if a.private != nil {
		_ = a.private.Close(ctx) // it always returns nil
	}
	if err := a.broker.Close(ctx); err != nil {
		return err
	}
	if known {
		a.recorder.finish(last, time.Now())
	}
	return nil
}

// waitReceived waits until the adapters have received what nodes had published. The server reads
// a connection until its socket is closed, a moment after it disconnected the node, and does
// not report when that is.
func (a *Appliance) waitReceived(nodes int) {
	wait := noMessagesTime
	if nodes == 0 { // the last node may have disconnected just now
		wait /= 4
	}
	received := func() (sum uint64) {
		for _, s := range a.Stats() {
			sum += s.Received
		}
		return sum
	}
	last, since := received(), time.Now()
	for start := time.Now(); time.Since(since) < wait && time.Since(start) < maxReceiveWait; {
		time.Sleep(noMessagesTime / 20)
		if now := received(); now != last {
			last, since = now, time.Now()
		}
	}
}

// logLedger logs each adapter's ledger, as the last lines of the appliance.
func (a *Appliance) logLedger() {
	for name, s := range a.Stats() {
		a.opts.Log.Info("stopped", "adapter", name, "received", s.Received, "stored", s.Stored, "duplicate", s.Duplicate,
			"rejected", s.AllRejected(), "dropped", s.AllDropped(), "balanced", s.Balanced())
	}
}
