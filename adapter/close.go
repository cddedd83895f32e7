package adapter

import "context"

// Close takes what the server has routed already, waits until everything has its verdict
// or the context is done, and counts the rest as dropped. It may be called twice, and
// after an Open that failed.
func (a *Adapter) Close(ctx context.Context) error {
	a.once.Do(func() {
		a.stopListening(ctx)
		a.waitIdle(ctx)
		a.stop()
		a.disconnect() // frees who is stuck in a publish
		a.wg.Wait()
	})
	return nil
}

// stopListening ends the subscriptions and waits until what had come in is received.
func (a *Adapter) stopListening(ctx context.Context) {
	a.mu.Lock()
	a.stopping = true
	i := a.ingest
	a.mu.Unlock()
	if i == nil {
		return
	}
	i.conn.Drain()
	select {
	case <-i.ended:
	case <-ctx.Done():
	}
	i.conn.Close()
	a.listening.Wait()
}

// waitIdle waits until no message is pending.
func (a *Adapter) waitIdle(ctx context.Context) {
	a.mu.Lock()
	a.drained = true
	a.checkIdle()
	a.mu.Unlock()
	select {
	case <-a.idle:
	case <-ctx.Done():
	}
}

// stop ends the goroutines and counts what is left.
func (a *Adapter) stop() {
	a.mu.Lock()
	a.stopped = true
	a.ledger.dropPending() // the watch says how many
	a.work.Broadcast()
	a.mu.Unlock()
	close(a.quit)
}

func (a *Adapter) disconnect() {
	for _, p := range []*publisher{a.local, a.out} {
		if p != nil {
			p.close()
		}
	}
}
