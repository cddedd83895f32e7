package fleet

import (
	"slices"
	"time"
)

// connID identifies a connection. Each server process numbers its connections from 1, so the
// number alone is not unique.
type connID struct {
	server string
	id     uint64
}

// startedConnection is a connection that began.
type startedConnection struct {
	id       connID
	since    time.Time
	address  string // that it comes from
	verified bool   // its name is proven, by a certificate or token
	node     bool   // the broker admitted it as a node
	named    bool   // it is a node's, and its name is the identity, as Choria's servers give it
}

// openConnection is a connection that has not ended.
type openConnection struct {
	id         connID
	since      time.Time
	address    string
	named      bool      // see startedConnection
	registered time.Time // when a registration last arrived over it while the node had several; zero: never
}

// connections are all connections under one name. The end of an old connection may be reported
// after a new one began, so a node is disconnected only when the last one has ended.
type connections struct {
	open     []openConnection // in the order in which they began
	since    time.Time        // when the newest began
	address  string           // of the newest
	verified bool             // the newest proved its name
	ended    time.Time        // when the number of open connections last became 0; zero: never
	reason   string           // why it ended, in the server's words
}

// Connection is what is known of a node's connection to this appliance.
type Connection struct {
	Connected string    `json:"connected"`         // yes, no or unknown
	Since     time.Time `json:"since,omitzero"`    // when the newest connection began
	Address   string    `json:"address,omitempty"` // of the node
	Verified  bool      `json:"verified"`          // the node proved its name; a lab does not require that
	Ended     time.Time `json:"ended,omitzero"`    // when the number of open connections last became 0
	Reason    string    `json:"reason,omitempty"`  // why it ended, in the server's words
}

func (cs *connections) begin(c startedConnection) {
	if cs.index(c.id) < 0 {
		later := slices.IndexFunc(cs.open, func(o openConnection) bool { return o.since.After(c.since) })
		if later < 0 {
			later = len(cs.open)
		}
		cs.open = slices.Insert(cs.open, later, openConnection{
			id: c.id, since: c.since, address: c.address, named: c.named,
		})
	}
	if !c.since.Before(cs.since) {
		cs.since, cs.address, cs.verified = c.since, c.address, c.verified
	}
}

// index returns the index of an open connection, or -1.
func (cs *connections) index(id connID) int {
	return slices.IndexFunc(cs.open, func(c openConnection) bool { return c.id == id })
}

// end records the end of a connection. It ignores connections that never began or have ended.
func (cs *connections) end(id connID, at time.Time, reason string) {
	i := cs.index(id)
	if i < 0 {
		return
	}
	cs.open = slices.Delete(cs.open, i, i+1)
	if len(cs.open) == 0 {
		cs.ended, cs.reason = at, reason
	}
}

// status returns the connections as they are shown; cs may be nil.
func (cs *connections) status() Connection {
	if cs == nil {
		return Connection{Connected: "unknown"}
	}
	c := Connection{
		Connected: "no", Since: cs.since, Address: cs.address, Verified: cs.verified,
		Ended: cs.ended, Reason: cs.reason,
	}
	if len(cs.open) > 0 {
		c.Connected = "yes"
	}
	return c
}
