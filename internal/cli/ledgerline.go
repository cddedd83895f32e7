package cli

import (
	"fmt"
	"time"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/fleet"
)

const (
	drawInterval  = 500 * time.Millisecond // on a terminal
	printInterval = 5 * time.Second        // elsewhere
)

// ledgerLine shows the ledger and the node states of the demo: on a terminal one line that is
// redrawn, elsewhere a new line every few seconds.
type ledgerLine struct {
	*demo
	interval time.Duration
	stats    func() adapter.Stats
	states   func() map[fleet.State]int
	links    func() string // which links are cut
	start    time.Time
	last     adapter.Stats // as shown before
	lastTime time.Time
}

func (d *demo) newLedgerLine(
	stats func() adapter.Stats, states func() map[fleet.State]int, links func() string,
) *ledgerLine {
	l := &ledgerLine{
		demo: d, interval: printInterval, start: time.Now(), stats: stats, states: states, links: links,
	}
	if d.terminal {
		l.interval = drawInterval
	}
	l.lastTime = l.start
	return l
}

// show prints the line, with the rate of storing since it was last shown.
func (l *ledgerLine) show(now time.Time) {
	s := l.stats()
	rate := float64(s.Stored-l.last.Stored) / now.Sub(l.lastTime).Seconds()
	l.last, l.lastTime = s, now
	start, end := "", "\n"
	if l.terminal {
		start, end = "\r\033[K", "" // back to the first column, and clear the line
	}
	n := l.states()
	fmt.Fprintf(l.out, "%s%d up  %d late  %d down  %d stopped  "+
		"received %s  stored %s  %.0f/s  pending %d  rejected %d  dropped %d%s%s",
		start, n[fleet.Up], n[fleet.Late], n[fleet.Down], n[fleet.Stopped],
		count(s.Received), count(s.Stored), rate, s.Pending, s.AllRejected(), s.AllDropped(), l.links(), end)
}

// until shows the line until the nodes have registered for the last time, and returns their error.
func (l *ledgerLine) until(registered <-chan error) error {
	ticker := time.NewTicker(l.interval)
	defer ticker.Stop()
	for {
		select {
		case err := <-registered:
			l.finish()
			return err
		case now := <-ticker.C:
			l.show(now)
		}
	}
}

// finish shows the line a last time, with the rate of the whole run.
func (l *ledgerLine) finish() {
	l.last, l.lastTime = adapter.Stats{}, l.start
	l.show(time.Now())
	if l.terminal {
		fmt.Fprintln(l.out)
	}
}
