package console

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits of the HTTP server. Without them, idle clients take the descriptors that nodes and streams
// need. docs/limits.md lists them.
const (
	// maxConnections is how many connections may be open at the same time: maxFollowers, and room for
	// monitoring and people.
	maxConnections = 256
	// descriptorShare limits the connections to one of so many descriptors of the process. The others
	// are for the connections of nodes and the files of streams.
	descriptorShare = 4
	// addressShare limits one address to one of so many connections, so that it cannot take all.
	addressShare = 2
	// minConnections is how many connections may be open even if there are few descriptors.
	minConnections = 8
	// maxHeader is the bytes of the header of a request; more is answered with status 431.
	maxHeader = 64 << 10
	// headerTimeout is how long a client may take to send the header of a request, and a body.
	headerTimeout = 10 * time.Second
	// answerTimeout is how long a client may take to read an answer. Answers without an end have
	// writeTimeout for each part.
	answerTimeout = time.Minute
	// idleTimeout is how long a connection may wait for its next request: longer than the usual
	// minute between two scrapes.
	idleTimeout = 90 * time.Second
)

// connectionLimits returns how many connections may be open in all, and from one address, in a
// process that may open so many descriptors.
func connectionLimits(descriptors uint64) (total, perAddress int) {
	total = int(max(min(maxConnections, descriptors/descriptorShare), minConnections))
	return total, total / addressShare
}

// limiter is a listener that closes connections beyond the limits at once: a connection that waits
// would need a descriptor too. refuse receives each of them.
type limiter struct {
	net.Listener
	total, perAddress int
	refuse            func(reason string, address netip.Addr)

	mu        sync.Mutex
	open      int
	addresses map[netip.Prefix]int // open connections from each
}

func newLimiter(l net.Listener, total, perAddress int, refuse func(string, netip.Addr)) *limiter {
	return &limiter{
		Listener: l, total: total, perAddress: perAddress, refuse: refuse, addresses: map[netip.Prefix]int{},
	}
}

// Accept returns the next connection within the limits.
func (l *limiter) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := addressOf(conn.RemoteAddr())
		origin := originOf(address)
		reason := l.take(origin)
		if reason == "" {
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { l.release(origin) })}, nil
		}
		_ = conn.Close() // nothing was sent on it
		l.refuse(reason, address)
	}
}

// take counts a connection, or returns the reason why it exceeds a limit.
func (l *limiter) take(origin netip.Prefix) (reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.addresses[origin] >= l.perAddress:
		return reasonAddressConnections
	case l.open >= l.total:
		return reasonConnections
	}
	l.open++
	l.addresses[origin]++
	return ""
}

func (l *limiter) release(origin netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.addresses[origin]--; l.addresses[origin] == 0 {
		delete(l.addresses, origin)
	}
}

// connections returns how many connections are open.
func (l *limiter) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// limitedConn gives its place back when it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

// Close closes the connection. It may be called twice.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// addressOf returns the IP address of a network address; not valid if it has none.
func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// originOf returns the addresses that share one limit: a host has a whole /64 network of IPv6, and
// all loopback addresses.
func originOf(address netip.Addr) netip.Prefix {
	bits := address.BitLen()
	switch {
	case address.Is4() && address.IsLoopback():
		bits = 8
	case address.Is6() && !address.IsLoopback():
		bits = 64
	}
	prefix, _ := address.Prefix(bits) // fails for an address that is not valid; those share the zero prefix
	return prefix
}

// limitBody limits the time for the body of a request, which the server reads after the answer. No
// endpoint takes one.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(headerTimeout)) // net/http supports it
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
