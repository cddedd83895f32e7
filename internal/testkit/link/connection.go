package link

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	chunkSize   = 32 << 10
	minBuffer   = 16 << 10 // bytes under way in one direction of a connection of a slow link
	maxBuffer   = 64 << 20
	dialTimeout = 5 * time.Second
)

// connection is one connection through a link.
type connection struct {
	link  *Link
	near  *net.TCPConn // of the side that connected
	ended chan struct{}

	mu   sync.Mutex
	far  *net.TCPConn // of the target; nil before it is connected
	over bool         // ended is closed
}

func newConnection(l *Link, near *net.TCPConn) *connection {
	return &connection{link: l, near: near, ended: make(chan struct{})}
}

// connect connects to the target and carries bytes both ways until both are over.
func (c *connection) connect() {
	conn, err := net.DialTimeout("tcp", c.link.target, dialTimeout)
	if err != nil {
		c.link.count(func(n *Counts) { n.Refused++ })
		return
	}
	far := conn.(*net.TCPConn)
	c.mu.Lock()
	c.far = far
	over := c.over
	c.mu.Unlock()
	if over {
		_ = far.Close()
		return
	}
	c.link.count(func(n *Counts) { n.Connections++ })
	var both sync.WaitGroup
	for _, p := range []*pipe{newPipe(c, Up, c.near, far), newPipe(c, Down, far, c.near)} {
		both.Go(p.read)
		both.Go(p.write)
	}
	both.Wait()
}

// reset ends the connection with a TCP reset, both ways. What was not delivered is lost. It may be called twice.
func (c *connection) reset() { c.end(true) }

// end closes both sides, with a TCP reset or without.
func (c *connection) end(hard bool) {
	c.mu.Lock()
	over := c.over
	c.over = true
	conns := []*net.TCPConn{c.near, c.far}
	c.mu.Unlock()
	if over {
		return
	}
	for _, conn := range conns {
		if conn != nil && hard {
			_ = conn.SetLinger(0)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
	close(c.ended)
	c.link.mu.Lock()
	c.link.healed.Broadcast()
	c.link.mu.Unlock()
}

// isEnded reports whether the connection was reset.
func (c *connection) isEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// chunk is what was read at a time.
type chunk struct {
	data []byte // empty: the end
	due  time.Time
}

// pipe is one direction of a connection: a queue of chunks with the times at which they are due.
type pipe struct {
	connection *connection
	direction  Direction
	from, to   *net.TCPConn

	mu      sync.Mutex
	changed *sync.Cond // signaled when a chunk is added or removed, and at the end
	queue   []chunk
	bytes   int // in queue
	broken  bool
}

func newPipe(c *connection, d Direction, from, to *net.TCPConn) *pipe {
	p := &pipe{connection: c, direction: d, from: from, to: to}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// read queues what arrives until the connection ends. Once bytes were lost, it loses all that follow.
func (p *pipe) read() {
	defer p.stop()
	buffer, losing, l := make([]byte, chunkSize), false, p.connection.link
	for {
		n, err := p.from.Read(buffer)
		if n > 0 {
			data := append([]byte(nil), buffer[:n]...)
			due, lost := l.pass(p.direction, data)
			losing = losing || lost
			if losing {
				l.count(func(counts *Counts) { counts.Swallowed[p.direction] += int64(n) })
			} else if !p.push(chunk{data, due}, l.limit()) {
				return
			}
		}
		if err != nil {
			if losing || !errors.Is(err, io.EOF) {
				p.connection.reset() // the queue is lost too
			} else {
				p.push(chunk{due: l.end(p.direction)}, maxBuffer)
			}
			return
		}
	}
}

// end returns when the end of a direction arrives.
func (l *Link) end(d Direction) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := time.Now()
	if l.free[d].After(due) {
		due = l.free[d]
	}
	return due.Add(l.delay)
}

// push adds a chunk once there is room for it. It returns false if the pipe is broken.
func (p *pipe) push(c chunk, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.bytes > 0 && p.bytes+len(c.data) > limit && !p.broken {
		p.changed.Wait()
	}
	p.queue, p.bytes = append(p.queue, c), p.bytes+len(c.data)
	p.changed.Broadcast()
	return !p.broken
}

// pop waits for the next chunk. It returns false if the pipe is broken and empty.
func (p *pipe) pop() (c chunk, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 && !p.broken {
		p.changed.Wait()
	}
	if len(p.queue) == 0 {
		return c, false
	}
	c, p.queue = p.queue[0], p.queue[1:]
	p.bytes -= len(c.data)
	p.changed.Broadcast()
	return c, true
}

// stop makes push and pop return.
func (p *pipe) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	p.changed.Broadcast()
}

// write delivers chunks when they are due, until the end.
func (p *pipe) write() {
	defer p.stop()
	for {
		c, ok := p.pop()
		if !ok || !p.wait(c.due) {
			return
		}
		if len(c.data) == 0 {
			_ = p.to.CloseWrite()
			return
		}
		if _, err := p.to.Write(c.data); err != nil {
			p.connection.reset()
			return
		}
		p.connection.link.count(func(counts *Counts) { counts.Bytes[p.direction] += int64(len(c.data)) })
	}
}

// wait waits until a time, and while the link is stalled. It returns false if the connection ended.
func (p *pipe) wait(due time.Time) bool {
	if pause := time.Until(due); pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.connection.ended:
			return false
		}
	}
	return p.connection.link.waitStalled(p.connection)
}
