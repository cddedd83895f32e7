package adapter

import (
	"sync/atomic"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
)

// redialWait is the pause before the broker is tapped again; while there is no connection,
// nobody receives what nodes publish.
const redialWait = 10 * time.Millisecond

// ingest is one connection to the broker, for as long as it lasts. It is never made again
// by itself: of one connection the broker knows how many messages it sent, and we know how
// many came, so what was lost can be counted.
type ingest struct {
	conn  *inproc.Conn
	alive atomic.Bool
	ended chan struct{}
}

// openIngest connects and subscribes to all topics.
func (a *Adapter) openIngest() (*ingest, error) {
	c, err := a.wire("choria adapter "+a.cfg.Name, a.cfg.Ingest.Topics, a)
	if err != nil {
		return nil, err
	}
	i := &ingest{conn: c, ended: make(chan struct{})}
	i.alive.Store(true)
	return i, nil
}

func (i *ingest) run() error {
	defer close(i.ended)
	defer i.alive.Store(false)
	return i.conn.Run()
}

// listen reads from one connection after the other, and counts what was lost when one
// ended. What nodes publish before the next one is there goes to nobody and cannot be
// counted; how long that was is said.
func (a *Adapter) listen(i *ingest) {
	for i != nil {
		err := i.run()
		ended := a.now()
		next := a.reopenIngest()
		away := a.now().Sub(ended)
		lost := a.countLost(i)
		if err != nil {
			a.links.errors.Add(1)
			a.log.Warn("connection to the broker ended", "error", err, "lost", lost, "another", next != nil, "away", away)
		}
		i = next
	}
}

// countLost counts what the broker sent to a connection that has ended and that did not
// come. For a moment the broker finds such a connection neither among the open ones nor
// among the closed.
func (a *Adapter) countLost(i *ingest) (lost uint64) {
	sent, known := a.delivered(i.conn.ID())
	for range 100 {
		if known {
			break
		}
		time.Sleep(redialWait)
		sent, known = a.delivered(i.conn.ID())
	}
	if !known {
		a.log.Error("connection ended, and the broker does not know what it had sent", "connection", i.conn.ID())
		return 0
	}
	received := i.conn.Received()
	if sent <= received {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger.lose(sent - received)
	return sent - received
}

// reopenIngest taps the broker until there is a connection, or nil is wanted: the adapter
// stops.
func (a *Adapter) reopenIngest() *ingest {
	for {
		a.mu.Lock()
		stopping := a.stopping
		a.mu.Unlock()
		if stopping {
			return nil
		}
		i, err := a.openIngest()
		if err == nil {
			a.links.reconnections.Add(1)
			return a.setIngest(i)
		}
		time.Sleep(redialWait)
	}
}

// setIngest makes the connection the current one, or closes it where the adapter has
// begun to stop in the meantime.
func (a *Adapter) setIngest(i *ingest) *ingest {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping {
		i.conn.Close()
	}
	a.ingest = i
	return i
}
