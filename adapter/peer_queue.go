package adapter

import (
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
)

// peerKey names a peer: what shares an adapter fairly with the others. It is known when a message is
// received, before anything in it is read, so a sender cannot use up the share of another by naming
// it. Only one of the fields is set.
type peerKey struct {
	user       string // the identity that the connection has proven
	name       string // of the connection, if it has proven none: the name stays when a node reconnects
	connection uint64 // number of the connection, if it has no name either
}

// keyOf returns the key of the peer that a message came from.
func keyOf(p inproc.Peer) peerKey {
	switch {
	case p.User != "":
		return peerKey{user: p.User}
	case p.Name != "":
		return peerKey{name: p.Name}
	default:
		return peerKey{connection: p.ID}
	}
}

// String returns a peer in words.
func (k peerKey) String() string {
	switch {
	case k.user != "":
		return "identity " + k.user
	case k.name != "":
		return "connection " + k.name
	default:
		return fmt.Sprintf("connection %d", k.connection)
	}
}

// peerQueue is a peer: its messages, and what they take. It is guarded by the adapter's mutex.
type peerQueue struct {
	key      peerKey
	arrivals queue     // messages that have not left in the order of arrival
	lastSeen time.Time // when its last message was received

	pending int   // messages without an outcome
	held    int64 // bytes held for them
	taken   int64 // bytes held for those that a worker has started on

	hasTurn bool          // it is in the list of turns
	parked  bool          // it has converted as much as it may, until some of that is published
	credit  time.Duration // what it may take of the workers' time before others have their turns
	cost    time.Duration // of the conversion of its latest message
	queued  int64         // messages in conversion, ready, or waiting behind one of the same sender

	ready        fifo[*message] // the first of their senders, to be published next
	publishing   bool           // it is in the list of peers with ready messages
	unacked      int64          // messages published and not yet acknowledged
	unackedBytes int64

	sender       string // one sender of its messages, set once the peer has many
	floodDropped uint64 // messages dropped as flood and not reported yet

	list       *peerList // the list that it is in, by its load or idle; nil: none
	prev, next *peerQueue
}

// peerList is a linked list of peers. A peer is in one list at most.
type peerList struct{ first, last *peerQueue }

// moveTo moves a peer to the end of a list; nil: it is in no list then.
func (p *peerQueue) moveTo(l *peerList) {
	if p.list == l {
		return
	}
	if p.list != nil {
		p.list.remove(p)
	}
	p.list = l
	if l != nil {
		l.add(p)
	}
}

func (l *peerList) add(p *peerQueue) {
	p.prev, p.next = l.last, nil
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
}

func (l *peerList) remove(p *peerQueue) {
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}
