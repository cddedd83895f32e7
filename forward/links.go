package forward

import "time"

// linkCheck is how often the state of the links is checked.
const linkCheck = time.Second

// linkReport is what was logged about a link.
type linkReport struct {
	connections uint64 // number of the last connection that was logged
	down        bool   // it was logged that the link is down
}

// watchLinks logs when the links are up and down, and tells the copiers, until the forwarder closes.
func (f *Forwarder) watchLinks() {
	ticker := time.NewTicker(linkCheck)
	defer ticker.Stop()
	reports := map[*link]*linkReport{f.events: {}, f.data: {}}
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-ticker.C:
		}
		for l, report := range reports {
			f.watchLink(l, report)
		}
		for _, c := range f.copiers {
			c.refresh(f.ctx)
		}
	}
}

// watchLink logs a new connection, and a link that has been down for answerWait. After a new connection a heartbeat
// follows at once, and the copiers of the link are told.
func (f *Forwarder) watchLink(l *link, report *linkReport) {
	up, since, lastErr := l.status()
	made := l.connections.Load()
	switch {
	case up && made != report.connections:
		f.opts.Log.Info("connected to the hub", "connection", l.name)
		report.connections, report.down = made, false
		f.beat.due.Store(true)
		for _, c := range f.copiers {
			if c.link == l {
				c.linkUp()
			}
		}
	case !up && !report.down && f.opts.Now().Sub(since) >= answerWait:
		f.opts.Log.Warn("not connected to the hub", "connection", l.name, "error", lastErr)
		report.down = true
	}
}
