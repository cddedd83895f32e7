package adapter

import "time"

const (
	watchInterval  = 50 * time.Millisecond
	reportInterval = time.Minute
)

// watch sends again what is due, gives up waiting for answers that do not come, and says
// in the log what went wrong, each thing at most once a minute.
func (a *Adapter) watch() {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	report := newReport(a.log, a.cure)
	for {
		select {
		case <-a.quit:
			report.say(a.Stats(), a.Fault(), a.now().Add(reportInterval)) // what is left to say
			return
		case <-ticker.C:
			now := a.now()
			a.out.expire(now)
			if a.local != a.out {
				a.local.expire(now)
			}
			a.sendAgain(now)
			report.say(a.Stats(), a.Fault(), now)
		}
	}
}

func (a *Adapter) sendAgain(now time.Time) {
	a.mu.Lock()
	for _, m := range a.retries.due(now) {
		a.lanes.again(m)
	}
	send := a.sendable()
	a.mu.Unlock()
	a.send(send)
}
