package cli

import (
	"io"
	"net"
	"sync"
)

// relay is a link between an edge and its hub that can be cut: it accepts connections on loopback and connects each to
// the hub.
type relay struct {
	listener net.Listener
	hub      string // address
	wg       sync.WaitGroup

	mu    sync.Mutex
	isCut bool
	conns map[net.Conn]bool // both ends of all connections
}

// newRelay starts a relay to the hub at an address. The caller closes it.
func newRelay(hub string) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, hub: hub, conns: map[net.Conn]bool{}}
	r.wg.Go(r.accept)
	return r, nil
}

// url returns where an edge connects.
func (r *relay) url() string { return "nats://" + r.listener.Addr().String() }

// accept connects what dials the relay to the hub until the relay is closed.
func (r *relay) accept() {
	for {
		edge, err := r.listener.Accept()
		if err != nil {
			return
		}
		hub, err := net.Dial("tcp", r.hub)
		if err != nil {
			_ = edge.Close()
			continue
		}
		if !r.add(edge, hub) {
			continue
		}
		r.wg.Go(func() { r.copy(hub, edge) })
		r.wg.Go(func() { r.copy(edge, hub) })
	}
}

// add records the ends of a connection, or closes them and reports false if the link is cut.
func (r *relay) add(edge, hub net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isCut {
		_, _ = edge.Close(), hub.Close()
		return false
	}
	r.conns[edge], r.conns[hub] = true, true
	return true
}

// copy copies from one end to the other until one is closed, and then closes both.
func (r *relay) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = to.Close(), from.Close()
	delete(r.conns, to)
	delete(r.conns, from)
}

// cut ends all connections and, until restore is called, every new one.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isCut = true
	for conn := range r.conns {
		_ = conn.Close()
	}
}

// restore ends a cut.
func (r *relay) restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isCut = false
}

// down reports whether the link is cut.
func (r *relay) down() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isCut
}

// close ends the relay and all its connections. It may be called twice.
func (r *relay) close() {
	_ = r.listener.Close()
	r.cut()
	r.wg.Wait()
}
