package adapter

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/puback"
	"github.com/muster-appliance/muster/internal/throttle"
)

const (
	// redialWait is the pause before a connection to the broker is tried again. It is short:
	// while the input has no connection, nothing receives what nodes publish.
	redialWait = 10 * time.Millisecond
	// connErrorInterval is how often the errors of one connection are logged.
	connErrorInterval = time.Minute
)

// localConn is a connection to this appliance's broker that is dialed again whenever it ends,
// until drain or close. An adapter has two: one receives messages, the other publishes and
// receives acks.
type localConn struct {
	name         string
	subjects     []string
	receiver     inproc.Receiver
	dial         Dial
	stats        *connStats
	onEnd        func()       // called when a connection has ended, before the next is dialed; may be nil
	onOutageOver func(outage) // called when the next connection is open, or none will follow

	current atomic.Pointer[inproc.Conn] // nil while there is no connection
	mu      sync.Mutex                  // held while one connection replaces another
	closing bool                        // no further connection is dialed
	wg      sync.WaitGroup              // the reconnect loop
}

// outage describes the end of a connection, and the time until the next one.
type outage struct {
	conn        *inproc.Conn  // the one that ended
	err         error         // why it ended; nil after drain
	reconnected bool          // false if the localConn is closing
	length      time.Duration // until the next connection was open
}

// open dials the first connection, and starts the goroutine that reads from it and its successors.
func (l *localConn) open() error {
	started := l.stats.now()
	c, err := l.connect()
	if err != nil {
		return err
	}
	l.stats.countConnected(started)
	l.wg.Go(func() { l.run(c) })
	return nil
}

// connect dials once. It returns nil without an error once the localConn is closing.
func (l *localConn) connect() (*inproc.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil, nil
	}
	c, err := l.dial(l.name, l.subjects, l.receiver)
	if err == nil {
		l.current.Store(c)
	}
	return c, err
}

// run is the reconnect loop: it reads from one connection after the other.
func (l *localConn) run(c *inproc.Conn) {
	for c != nil {
		err := c.Run()
		ended := l.stats.now()
		l.current.Store(nil)
		if l.onEnd != nil {
			l.onEnd()
		}
		next := l.reconnect()
		l.onOutageOver(outage{conn: c, err: err, reconnected: next != nil, length: l.stats.now().Sub(ended)})
		c = next
	}
	l.stats.closed.Add(1)
}

// reconnect dials until there is a connection; it returns nil once the localConn is closing.
func (l *localConn) reconnect() *inproc.Conn {
	c, err := l.connect()
	for err != nil {
		time.Sleep(redialWait)
		c, err = l.connect()
	}
	if c != nil {
		l.stats.reconnections.Add(1)
	}
	return c
}

// publish sends a message over the current connection; see inproc.Conn.Publish. It returns puback.ErrTooLarge for one
// that the server would not accept.
func (l *localConn) publish(out *streamMessage, reply string) error {
	c := l.current.Load()
	if c == nil {
		return inproc.ErrClosed
	}
	err := c.Publish(out.subject, reply, out.header(), out.data())
	if errors.Is(err, inproc.ErrTooLarge) {
		err = puback.ErrTooLarge
	}
	return err
}

// connected reports whether there is a connection now.
func (l *localConn) connected() bool { return l.current.Load() != nil }

// drain ends the subscriptions and returns when everything the broker had routed to them is
// received; if the context is done before, it closes the connection.
func (l *localConn) drain(ctx context.Context) {
	if c := l.stopDialing(); c != nil {
		c.Drain()
		defer context.AfterFunc(ctx, c.Close)()
	}
	l.wg.Wait()
}

// close ends the connection at once. It may be called twice, and without open.
func (l *localConn) close() {
	if c := l.stopDialing(); c != nil {
		c.Close()
	}
	l.wg.Wait()
}

// stopDialing makes the current connection the last one, and returns it.
func (l *localConn) stopDialing() *inproc.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	return l.current.Load()
}

// connStats counts what happens to an adapter's connections, and logs their errors.
type connStats struct {
	now           func() time.Time
	log           hclog.Logger
	throttle      *throttle.Throttle // by connection
	connected     atomic.Uint64      // connections that were established, without reconnections
	connectTime   atomic.Int64       // until they were, all together, in nanoseconds
	failures      atomic.Uint64      // attempts that failed before a connection was first established
	reconnections atomic.Uint64
	closed        atomic.Uint64 // connections that have ended for good
	errors        atomic.Uint64
}

func newConnStats(o Options) *connStats {
	return &connStats{now: o.Now, log: o.Log, throttle: throttle.New(connErrorInterval)}
}

// countConnected counts a connection that is established for the first time. started is when the first attempt
// began.
func (s *connStats) countConnected(started time.Time) {
	s.connectTime.Add(int64(s.now().Sub(started)))
	s.connected.Add(1)
}

// countError counts an error of a connection to the servers, and logs it unless it repeats.
func (s *connStats) countError(connection, servers string, err error) {
	s.errors.Add(1)
	if count, log := s.throttle.Add(connection, 1, s.now()); log {
		s.log.Warn("publishing connection has an error",
			"connection", connection, "servers", servers, "error", err, "count", count)
	}
}
