package fleet

import (
	"slices"
	"time"
)

// connID is one connection: ids count from one again in each server process.
type connID struct {
	server string
	id     uint64
}

// link is the connections under one name. An old one may be seen to end after a new one
// has begun, so only the last that ends counts.
type link struct {
	live     []connID
	since    time.Time // when the newest began
	address  string    // where it came from
	verified bool      // it has proved its name
	ended    time.Time // when the last one ended; zero: none has
	reason   string    // why
}

// Connection is what is known of a node's connection.
type Connection struct {
	Connected string    `json:"connected"` // yes, no, unknown
	Since     time.Time `json:"since,omitzero"`
	Address   string    `json:"address,omitempty"`
	Verified  bool      `json:"verified"` // it has proved its name; in a lab it only says it
	Ended     time.Time `json:"ended,omitzero"`
	Reason    string    `json:"reason,omitempty"` // why it ended
}

func (l *link) begin(id connID, since time.Time, address string, verified bool) {
	if !slices.Contains(l.live, id) {
		l.live = append(l.live, id)
	}
	if !since.Before(l.since) {
		l.since, l.address, l.verified = since, address, verified
	}
}

// end notes the end of a connection, if it had been seen to begin.
func (l *link) end(id connID, when time.Time, reason string) {
	at := slices.Index(l.live, id)
	if at < 0 {
		return
	}
	l.live = slices.Delete(l.live, at, at+1)
	if len(l.live) == 0 {
		l.ended, l.reason = when, reason
	}
}

func (l *link) connection() Connection {
	if l == nil {
		return Connection{Connected: "unknown"}
	}
	c := Connection{Connected: "no", Since: l.since, Address: l.address, Verified: l.verified, Ended: l.ended, Reason: l.reason}
	if len(l.live) > 0 {
		c.Connected = "yes"
	}
	return c
}
