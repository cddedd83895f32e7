package cli

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/appliance"
)

// line is what the demo shows of the ledger: on a terminal one line that is drawn again
// and again, elsewhere a line every few seconds.
type line struct {
	*demo
	interval time.Duration
	stats    func() adapter.Stats
	states   func() map[fleet.State]int
	start    time.Time
	last     adapter.Stats
	when     time.Time
}

func (d *demo) newLine(a *appliance.Appliance) *line {
	l := &line{demo: d, interval: printInterval, start: time.Now(), stats: func() adapter.Stats { return total(a) }, states: a.States}
	if d.terminal {
		l.interval = drawInterval
	}
	l.when = l.start
	return l
}

func (l *line) show(now time.Time) {
	s := l.stats()
	rate := float64(s.Stored-l.last.Stored) / now.Sub(l.when).Seconds()
	l.last, l.when = s, now
	start, end := "", "\n"
	if l.terminal {
		start, end = "\r\033[K", ""
	}
	n := l.states()
	fmt.Fprintf(l.out, "%s%d up  %d late  %d down  %d stopped  received %s  stored %s  %.0f/s  pending %d  rejected %d  dropped %d%s", start, n[fleet.Up], n[fleet.Late], n[fleet.Down], n[fleet.Stopped],
		count(s.Received), count(s.Stored), rate, s.Pending, s.AllRejected(), s.AllDropped(), end)
}

// end leaves the line for good, with the rate of the whole time.
func (l *line) end() {
	l.last, l.when = adapter.Stats{}, l.start
	l.show(time.Now())
	if l.terminal {
		fmt.Fprintln(l.out)
	}
}

func count(n uint64) string { return humanize.Comma(int64(n)) }
