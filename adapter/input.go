package adapter

import (
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
)

// lookupWait is the pause before the broker is asked again for a connection that has ended.
const lookupWait = 10 * time.Millisecond

// newInput returns the connection that receives the messages of ingest.topic.
func (a *Adapter) newInput() *localConn {
	return &localConn{
		name:         "choria adapter " + a.cfg.Name,
		subjects:     a.cfg.Ingest.Topics,
		receiver:     &receiver{a: a},
		dial:         a.opts.DialInput,
		stats:        a.connStats,
		onOutageOver: a.inputOutageOver,
	}
}

// peer returns the connection that published a message. Where the broker verifies no identities, a
// connection can choose its user, which is then left out.
func (a *Adapter) peer(p inproc.Peer) inproc.Peer {
	if !a.opts.Identities {
		p.User = ""
	}
	return p
}

// inputOutageOver counts and logs what was lost when the input connection ended. The broker knows
// how many messages it sent to that connection, and the connection how many it received; the
// difference is lost.
// What nodes published during the outage reached no connection and cannot be counted, so the log
// has its length.
func (a *Adapter) inputOutageOver(o outage) {
	lost := a.countLost(o)
	if o.err == nil {
		return
	}
	a.connStats.errors.Add(1)
	a.opts.Log.Warn("connection to the broker ended",
		"error", o.err, "lost", lost, "reconnected", o.reconnected, "outage", o.length)
}

// countLost counts the messages that were sent to the ended connection but did not arrive, and
// returns their number. Right after a connection ends, the server lists it nowhere,
// so the lookup is repeated.
func (a *Adapter) countLost(o outage) (lost uint64) {
	id := o.conn.ID()
	sent, known := a.opts.MessagesSent(id)
	for tries := 1; !known && tries <= 100; tries++ {
		time.Sleep(lookupWait)
		sent, known = a.opts.MessagesSent(id)
	}
	if !known {
		a.opts.Log.Error("messages lost with a connection cannot be counted", "connection", id)
		return 0
	}
	received := o.conn.Received()
	if sent <= received {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger.countLost(sent - received)
	return sent - received
}
