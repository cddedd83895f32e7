package broker

import (
	"fmt"
	"slices"

	"github.com/muster-appliance/muster/internal/choria"
)

const (
	// maxUpgradeTime is how long a connection over WebSocket may take until it is admitted: for its TLS handshake and
	// its request handshakeTimeout each, and as long again for what the server waits for authentication.
	maxUpgradeTime = 4 * handshakeTimeout
	// maxUpgradeBytes is how much a connection over WebSocket may send until it is admitted, TLS included. The longest
	// control line of a client (inproc.MaxControlLine, 16 KiB), four certificates and the headers of a request have
	// room. The server would keep 1 MiB of headers.
	maxUpgradeBytes = 64 << 10
)

// limitUpgrades closes connections over WebSocket that are not admitted yet: those that have taken too long or sent
// too much, and the excess over max_unauthenticated. The server counts them only once they have sent their request.
func (b *Broker) limitUpgrades() {
	waiting := b.auth.sockets.upgrades()
	now := b.opts.Now()
	waiting = slices.DeleteFunc(waiting, func(s *socket) bool {
		switch {
		case now.Sub(s.began) > maxUpgradeTime:
			b.endUpgrade(s, errTimeout)
		case s.received() > maxUpgradeBytes:
			b.endUpgrade(s, fmt.Errorf("%w: more than %d KiB before it has authenticated", choria.ErrLimit, maxUpgradeBytes>>10))
		default:
			return false
		}
		return true
	})
	for _, s := range excess(waiting, b.cfg.unauthenticatedLimit(b.opts.Memory), (*socket).host) {
		b.endUpgrade(s, errUnauthenticated)
	}
}

// endUpgrade closes a connection that was not admitted, and counts it.
func (b *Broker) endUpgrade(s *socket, reason error) {
	if b.auth.sockets.discardUpgrade(s) {
		b.auth.refusals.countRefusal(reason, s.host(), "")
	}
}

// upgrades returns the sockets over WebSocket that are not admitted, the oldest first. It forgets those of them that
// are closed.
func (s *sockets) upgrades() []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*socket
	for address, found := range s.began {
		switch {
		case found.began.IsZero():
		case found.closed():
			delete(s.began, address)
		default:
			all = append(all, found)
		}
	}
	slices.SortFunc(all, func(a, b *socket) int { return a.began.Compare(b.began) })
	return all
}

// discardUpgrade discards a socket, and reports whether it was not admitted meanwhile.
func (s *sockets) discardUpgrade(found *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began[found.address] != found {
		return false
	}
	delete(s.began, found.address)
	found.discard()
	return true
}

// host returns the address of the other side without its port.
func (s *socket) host() string { return hostOf(s.address.String()) }

// received returns how many bytes have arrived; 0 if the system does not say so.
func (s *socket) received() (n uint64) {
	raw, err := s.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { n = receivedBytes(int(fd)) }) // an error means that it has closed
	}
	return n
}
