// Package link is a TCP proxy between an edge and its hub that behaves as a bad link does: slow, cut, silent, or
// damaging what it carries. It knows nothing of NATS.
package link

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Direction is a direction of a link.
type Direction int

// Directions of a link.
const (
	Up   Direction = iota // from the side that connects to the target
	Down                  // from the target
)

// fault is what a link does with the connections that it has, and with new ones.
type fault int

const (
	healthy fault = iota
	cut
	hole
	halfUp
	halfDown
	stalled
	corrupt
)

// Counts says what a link did. Each fault counts, so that a test can prove that it fired.
type Counts struct {
	Connections int      // that reached the target
	Reset       int      // connections that Cut ended
	Refused     int      // new connections that were reset at once, because of Cut or because the target refused
	Hung        int      // new connections that got no answer before Heal
	Bytes       [2]int64 // delivered, by Direction
	Swallowed   [2]int64 // bytes, by Direction
	Held        [2]int64 // bytes that arrived while the link was stalled, by Direction
	Flipped     int64    // bits
}

// Link carries the connections to its address on to a target. Its methods may be called at any time, by any goroutine.
type Link struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu          sync.Mutex
	healed      *sync.Cond // signaled when the fault changes; its lock is mu
	fault       fault
	delay       time.Duration // each way
	rate        int64         // bytes per second each way, all connections together; 0: no limit
	free        [2]time.Time  // when a direction has sent what it accepted, at the rate
	connections map[*connection]bool
	counts      Counts
	closed      bool
}

// New returns a link to a target, a host with a port. It listens on a free port of loopback until Close.
func New(target string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a link: %w", err)
	}
	l := &Link{listener: listener, target: target, connections: map[*connection]bool{}}
	l.healed = sync.NewCond(&l.mu)
	l.wg.Go(l.accept)
	return l, nil
}

// Address returns the host and port that take the place of those of the target.
func (l *Link) Address() string { return l.listener.Addr().String() }

// SetDelay makes bytes arrive so much later, each way. Bytes are delayed side by side: the delay takes no throughput.
func (l *Link) SetDelay(each time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = each
}

// SetRate limits the bytes per second each way, for all connections together. 0 means no limit.
func (l *Link) SetRate(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.free = bytes, [2]time.Time{}
}

// Cut ends all connections with a TCP reset. New ones are reset as soon as they are accepted.
func (l *Link) Cut() { l.set(cut) }

// Hole makes the link silent: bytes are lost, connections stay open, new connections get no answer. A connection that
// lost bytes stays silent after Heal until one of its ends closes it, as it does behind a firewall that has lost its
// state. One that was opened meanwhile reaches the target after Heal: TCP repeats what opens it.
func (l *Link) Hole() { l.set(hole) }

// Half does what Hole does in one direction.
func (l *Link) Half(silent Direction) { l.set(halfUp + fault(silent)) }

// Stall makes the link silent as Hole does, but loses nothing: bytes arrive after Heal, as those that TCP sends again,
// also those of connections that were closed meanwhile without a reset.
func (l *Link) Stall() { l.set(stalled) }

// Corrupt flips one bit in whatever arrives at a time.
func (l *Link) Corrupt() { l.set(corrupt) }

// Heal ends a fault. It leaves delay and rate.
func (l *Link) Heal() { l.set(healthy) }

func (l *Link) set(f fault) {
	l.mu.Lock()
	l.fault = f
	var ended []*connection
	if f == cut {
		for c := range l.connections {
			ended = append(ended, c)
		}
		l.counts.Reset += len(ended)
	}
	l.healed.Broadcast()
	l.mu.Unlock()
	for _, c := range ended {
		c.reset()
	}
}

// Counts returns what the link did so far.
func (l *Link) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Close ends all connections and waits for every goroutine. It may be called twice.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.listener.Close()
	l.set(cut)
	l.wg.Wait()
}

// accept takes new connections until Close.
func (l *Link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() { l.serve(near.(*net.TCPConn)) })
	}
}

// serve carries one connection until it ends.
func (l *Link) serve(near *net.TCPConn) {
	c := newConnection(l, near)
	f, ok := l.add(c)
	defer l.remove(c)
	if !ok {
		c.reset()
		return
	}
	switch f {
	case healthy, corrupt:
		c.connect()
	case cut:
		l.count(func(n *Counts) { n.Refused++ })
		c.reset()
	default:
		l.count(func(n *Counts) { n.Hung++ })
		if l.waitHealed(c) {
			c.connect()
		}
	}
}

// add registers a connection and returns the fault that it meets; ok is false if the link is closed.
func (l *Link) add(c *connection) (f fault, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connections[c] = true
	return l.fault, !l.closed
}

func (l *Link) remove(c *connection) {
	c.end(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.connections, c)
}

func (l *Link) count(add func(*Counts)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	add(&l.counts)
}

// waitHealed waits until a new connection can reach the target. It returns false if the connection ended.
func (l *Link) waitHealed(c *connection) bool {
	return l.waitWhile(c, func() bool { return l.fault != healthy && l.fault != corrupt })
}

// waitStalled waits while the link is stalled. It returns false if the connection ended.
func (l *Link) waitStalled(c *connection) bool {
	return l.waitWhile(c, func() bool { return l.fault == stalled })
}

// waitWhile waits while a fault, which condition tells, has the link.
func (l *Link) waitWhile(c *connection, condition func() bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for condition() && !c.isEnded() {
		l.healed.Wait()
	}
	return !c.isEnded()
}

// pass decides about bytes that were read: whether they are lost, and otherwise when they are due. It may change them.
func (l *Link) pass(d Direction, data []byte) (due time.Time, lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.fault == hole, l.fault == halfUp+fault(d):
		return due, true
	case l.fault == stalled:
		l.counts.Held[d] += int64(len(data))
	case l.fault == corrupt:
		data[len(data)/2] ^= 1
		l.counts.Flipped++
	}
	due = time.Now()
	if l.rate > 0 {
		if l.free[d].After(due) {
			due = l.free[d]
		}
		due = due.Add(time.Duration(int64(len(data)) * int64(time.Second) / l.rate))
		l.free[d] = due
	}
	return due.Add(l.delay), false
}

// limit returns how many bytes of one connection and direction may be under way.
func (l *Link) limit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate > 0 {
		return int(l.rate/4) + int(float64(l.rate)*l.delay.Seconds()) + minBuffer
	}
	return maxBuffer
}
