// Package deaf makes connections that stop reading while they stay open, for tests. Only tests import
// it.
package deaf

import (
	"net"
	"sync"
	"time"
)

// dialTimeout is how long a connection may take.
const dialTimeout = 5 * time.Second

// Dialer dials TCP connections, and remembers the last one. It is a dialer of NATS's client library.
type Dialer struct{ *Conn }

// Dial connects.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, dialTimeout)
	if err != nil {
		return nil, err
	}
	d.Conn = &Conn{TCPConn: conn.(*net.TCPConn), stopped: make(chan struct{}), closed: make(chan struct{})}
	return d.Conn, nil
}

// Conn is a TCP connection that reads until Stop.
type Conn struct {
	*net.TCPConn
	stopped, closed     chan struct{}
	stopOnce, closeOnce sync.Once
}

// Stop makes the connection read nothing any more. What a Read that waits receives is still returned.
func (c *Conn) Stop() { c.stopOnce.Do(func() { close(c.stopped) }) }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	select {
	case <-c.stopped:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return c.TCPConn.Read(p)
	}
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	return c.TCPConn.Close()
}
