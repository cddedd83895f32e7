package adapter

import "context"

// Close takes what the server has routed already, waits until everything has its verdict
// or the context is done, and counts the rest as dropped. It may be called twice.
func (a *Adapter) Close(ctx context.Context) error {
	a.once.Do(func() {
		a.drainTopics(ctx)
		a.waitIdle(ctx)
		a.stop()
		a.wg.Wait()
		a.disconnect()
	})
	return nil
}

// drainTopics ends the subscriptions and waits until what had come in is received.
func (a *Adapter) drainTopics(ctx context.Context) {
	drained := make(chan struct{}, len(a.topics))
	for _, sub := range a.topics {
		sub.SetClosedHandler(func(string) { drained <- struct{}{} })
		if sub.Drain() != nil { // the connection is gone, and the subscription with it
			return
		}
	}
	for range a.topics {
		select {
		case <-drained:
		case <-ctx.Done():
			return
		}
	}
}

// waitIdle waits until no message is pending.
func (a *Adapter) waitIdle(ctx context.Context) {
	a.mu.Lock()
	a.stopping = true
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
	a.countLost()
	a.stopped = true
	dropped := a.ledger.dropPending()
	a.work.Broadcast()
	a.mu.Unlock()
	close(a.quit)
	if dropped > 0 {
		a.log.Warn("messages dropped", "reason", droppedShutdown, "count", dropped)
	}
}

func (a *Adapter) disconnect() {
	if a.out != nil && a.out != a.local {
		a.out.nc.Close()
	}
	if a.in != nil {
		a.in.Close()
	}
}
