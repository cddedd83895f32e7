package broker

import (
	"net"
	"sync"
	"time"
)

// sockets has the TCP connections under the TLS connections of nodes and clients. The server does not
// end a write to a client that does not read before its deadline of ten seconds, also not when the
// connection has ended meanwhile, because it was kicked, closed its side or violated the protocol.
// What waits for it takes memory until then, and is counted nowhere. Closing the socket frees it.
//
// The server gives out no sockets, so this knows only those of TLS, from their handshakes.
//
// It also limits connections over WebSocket that are not connections of NATS yet: the server counts those nowhere.
type sockets struct {
	now func() time.Time

	mu sync.Mutex
	// began has those that are not admitted, by the value that RemoteAddr returns. That is a pointer which each TCP
	// connection has for itself: two connections to two listeners may come from one address and port.
	began map[net.Addr]*socket
	byID  map[uint64]*socket // of admitted connections, by the server's id
}

// socket is the TCP connection of one connection.
type socket struct {
	*net.TCPConn
	address net.Addr  // of the other side, as RemoteAddr returns it
	began   time.Time // of its handshake; zero: it is not over WebSocket
	ended   bool      // the server had ended the connection when it was checked last
}

func newSockets(now func() time.Time) *sockets {
	return &sockets{now: now, began: map[net.Addr]*socket{}, byID: map[uint64]*socket{}}
}

// add adds the connection of a handshake that has begun.
func (s *sockets) add(conn net.Conn) { s.addBegun(conn, time.Time{}) }

// addWebSocket does what add does, for a connection over WebSocket.
func (s *sockets) addWebSocket(conn net.Conn) { s.addBegun(conn, s.now()) }

func (s *sockets) addBegun(conn net.Conn, began time.Time) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	address := tcp.RemoteAddr()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began[address] = &socket{TCPConn: tcp, address: address, began: began}
}

// admit gives the id to the connection of which RemoteAddr returned that value, if it is known.
func (s *sockets) admit(address net.Addr, id uint64) {
	if address == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.began[address]; found != nil {
		s.byID[id] = found
		delete(s.began, found.address)
	}
}

// close closes the socket of an admitted connection, if it is known. What was not sent is discarded.
func (s *sockets) close(id uint64) {
	s.mu.Lock()
	found := s.byID[id]
	delete(s.byID, id)
	s.mu.Unlock()
	if found != nil {
		found.discard()
	}
}

// closeLeftovers closes the sockets of connections that the server had ended before the last call
// already, and reports whether there are others that have ended. It forgets sockets that are closed.
func (s *sockets) closeLeftovers(open func(id uint64) bool) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for address, found := range s.began {
		if found.closed() {
			delete(s.began, address)
		}
	}
	for id, found := range s.byID {
		switch {
		case open(id):
		case found.closed():
			delete(s.byID, id)
		case found.ended:
			found.discard()
			delete(s.byID, id)
		default:
			found.ended, more = true, true
		}
	}
	return more
}

// closed reports whether the server has closed the socket.
func (s *socket) closed() bool {
	raw, err := s.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// discard closes the socket without sending what waits in the kernel. An error means that it has
// already closed.
func (s *socket) discard() {
	_ = s.SetLinger(0)
	_ = s.Close()
}
