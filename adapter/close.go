package adapter

import "context"

// Close receives what the server has routed already, waits until every message has its outcome
// or the context is done, and counts the rest as dropped. It always returns nil; all goroutines
// have ended then. It may be called twice, and after an Open that failed.
func (a *Adapter) Close(ctx context.Context) error {
	a.once.Do(func() {
		a.input.drain(ctx)
		a.waitForOutcomes(ctx)
		a.stop()
		a.disconnect() // also ends a publish that hangs
		a.wg.Wait()
	})
	return nil
}

// waitForOutcomes waits until no message is pending or the context is done.
func (a *Adapter) waitForOutcomes(ctx context.Context) {
	a.mu.Lock()
	a.phase = settling
	a.checkIdle()
	a.mu.Unlock()
	select {
	case <-a.idle:
	case <-ctx.Done():
	}
}

// checkIdle closes idle once there is nothing left to wait for. The mutex is held.
func (a *Adapter) checkIdle() {
	if a.phase != settling || a.ledger.stats.Pending > 0 || a.unackedRejects > 0 {
		return
	}
	select {
	case <-a.idle:
	default:
		close(a.idle)
	}
}

// stop drops what is pending and lets the goroutines return; watch logs what was dropped.
func (a *Adapter) stop() {
	a.mu.Lock()
	a.phase = stopped
	a.ledger.dropPending()
	a.workerWake.Broadcast()
	a.mu.Unlock()
	close(a.halted)
}

func (a *Adapter) disconnect() {
	if a.appliancePublisher == nil {
		return // Open was never called
	}
	a.appliancePublisher.transport.close()
	if a.streamPublisher != a.appliancePublisher {
		a.streamPublisher.transport.close()
	}
}
