package adapter

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// redialWait is the pause before the broker is dialled again; while there is no
// connection, nobody receives what nodes publish.
const redialWait = 10 * time.Millisecond

// ingest is one connection to the broker with the subscriptions on it, for as long as it
// lasts. The client library could reconnect it, but then nobody could tell what was lost
// on the way: for one connection the broker knows how many messages it sent, and we know
// how many came.
type ingest struct {
	nc       *nats.Conn
	id       uint64 // the broker's
	received atomic.Uint64
	ending   sync.WaitGroup // subscriptions that may still receive
	closed   chan struct{}
}

// openIngest connects and subscribes to all topics.
func (a *Adapter) openIngest() (*ingest, error) {
	i := &ingest{closed: make(chan struct{})}
	var err error
	i.nc, err = a.dial("choria adapter "+a.cfg.Name, nats.NoReconnect(),
		nats.ClosedHandler(func(*nats.Conn) { close(i.closed) }),
		nats.ErrorHandler(a.links.failed))
	if err != nil {
		return nil, err
	}
	if i.id, err = i.nc.GetClientID(); err == nil {
		err = i.subscribe(a.cfg.Ingest.Topics, a.receive)
	}
	if err != nil {
		i.nc.Close()
		return nil, err
	}
	return i, nil
}

func (i *ingest) subscribe(topics []string, receive func(*nats.Msg)) error {
	for _, topic := range topics {
		sub, err := i.nc.Subscribe(topic, func(m *nats.Msg) {
			i.received.Add(1)
			receive(m)
		})
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", topic, err)
		}
		i.ending.Add(1)
		sub.SetClosedHandler(func(string) { i.ending.Done() })
		// The callback never waits and the buffer is the bound: the library needs none.
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return fmt.Errorf("subscribe to %s: %w", topic, err)
		}
	}
	return i.nc.Flush()
}

// listen keeps a connection to the broker, and counts what was lost when one ended. What
// nodes publish before the next one is there goes to nobody and cannot be counted; how
// long that was is said.
func (a *Adapter) listen(i *ingest) {
	for i != nil {
		<-i.closed
		ended := a.now()
		i.ending.Wait()
		next := a.reopenIngest()
		away := a.now().Sub(ended)
		lost := a.countLost(i)
		if next != nil {
			a.log.Warn("connection to the broker ended, and there is another", "lost", lost, "away", away)
		}
		i = next
	}
}

// countLost counts what the broker sent to a connection that has ended and that did not
// come. For a moment the broker finds such a connection neither among the open ones nor
// among the closed.
func (a *Adapter) countLost(i *ingest) (lost uint64) {
	sent, known := a.delivered(i.id)
	for range 100 {
		if known {
			break
		}
		time.Sleep(redialWait)
		sent, known = a.delivered(i.id)
	}
	if !known {
		a.log.Error("connection ended, and the broker does not know what it had sent", "connection", i.id)
		return 0
	}
	received := i.received.Load()
	if sent <= received {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger.lose(sent - received)
	return sent - received
}

// reopenIngest dials until there is a connection, or nil is wanted: the adapter stops.
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
		i.nc.Close()
	}
	a.ingest = i
	return i
}
