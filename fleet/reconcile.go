package fleet

import (
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// reconcileInterval is how often the view is compared with the broker's list of connections.
	// It is also compared each time the system connection was lost.
	reconcileInterval = 5 * time.Minute
	// eventDelay is how long a connect or disconnect event may be on its way. A difference
	// that disappears within this time is ignored: its event was only late.
	eventDelay = 2 * time.Second
)

// missedEnd is the reason of an end that the broker does not remember.
const missedEnd = "the broker does not list the connection any more"

// Conn is a connection of a node or client as the broker lists it.
type Conn struct {
	Server  string    // id of the server process
	ID      uint64    // of the connection, unique in a server process
	User    string    // the identity that the peer proved; empty: none
	Name    string    // that the peer gave
	Address string    // of the peer
	Kind    Kind      // as what the broker admitted it
	Began   time.Time // when it connected
	Ended   time.Time // zero: it is open
	Reason  string    // why it ended, in the server's words
}

func (c *Conn) id() connID { return connID{c.Server, c.ID} }

// Kind is what the broker admitted a connection as, as far as the view tells connections apart.
type Kind uint8

// The kinds of connections.
const (
	KindOther        Kind = iota // a client, an administrator or an edge
	KindNode                     // a node
	KindProvisioning             // a node in provisioning
	KindProvisioner              // it provisions nodes, and is never in the view
)

// began records that a connection began.
func (r *registry) began(c *Conn, now time.Time) {
	name, verified := peerName(c.User, c.Name)
	started := startedConnection{
		id: c.id(), since: c.Began.UTC(), address: c.Address, verified: verified,
		node: c.Kind == KindNode, named: c.Kind == KindNode && c.Name == name,
	}
	switch c.Kind {
	case KindProvisioning:
		r.provisioningBegan(c.Name, started, now)
	case KindProvisioner:
	default:
		r.connected(name, started, now)
	}
}

// handleReconnect makes reconcileConnections compare. Events that the broker published while
// the system connection was lost are missing.
func (f *Fleet) handleReconnect(*nats.Conn) {
	select {
	case f.reconnected <- struct{}{}:
	default:
	}
}

// reconcileConnections compares the view with the broker's list of connections until the fleet
// closes.
func (f *Fleet) reconcileConnections() {
	ticker := time.NewTicker(reconcileInterval)
	defer ticker.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-ticker.C:
		case <-f.reconnected:
		}
		f.reconcile()
	}
}

// reconcile lists the connections of the broker and corrects the view: it records the beginnings
// and ends that no event told of.
func (f *Fleet) reconcile() {
	var known map[connID]string
	f.withRegistry(func(r *registry, _ time.Time) { known = r.beginListing() })
	at, _ := f.opts.Clock()
	listed, err := f.opts.Connections()
	for i := range listed {
		listed[i].User = f.proven(listed[i].User)
	}
	if err != nil {
		f.withRegistry(func(r *registry, _ time.Time) { r.ended = nil })
		f.opts.Log.Warn("connections not listed", "error", err)
		return
	}
	select {
	case <-f.ctx.Done():
		return
	case <-time.After(eventDelay):
	}
	var differences int
	f.withRegistry(func(r *registry, now time.Time) {
		// StopConnectionEvents closes it before the appliance disconnects its nodes.
		if !f.system.IsClosed() {
			differences = r.applyListing(known, listed, at, now)
		}
		r.ended = nil
	})
	if differences > 0 {
		f.reconciled.Add(uint64(differences))
		f.opts.Log.Warn("fleet view corrected by the broker's list of connections", "count", differences)
	}
}

// beginListing returns the open connections with the names of their peers, and makes the registry
// remember the connections that end from now on.
func (r *registry) beginListing() (known map[connID]string) {
	r.ended = map[connID]bool{}
	return r.open()
}

// open returns the open connections with the names of their peers.
func (r *registry) open() map[connID]string {
	open := map[connID]string{}
	for name, cs := range r.connections {
		for _, c := range cs.open {
			open[c.id] = name
		}
	}
	for id := range r.provisioning {
		open[id] = "" // it ends by its id
	}
	return open
}

// applyListing records what the broker's list has and the registry has not, and returns the number
// of differences. known is from beginListing, before the list was made; at is the time of the list.
// A connection that began after that is not in known; one that ended after that is in r.ended.
// Ids are not used twice, so neither can be taken for another one.
func (r *registry) applyListing(known map[connID]string, listed []Conn, at, now time.Time) (differences int) {
	type end struct {
		at     time.Time
		reason string
	}
	over := map[connID]end{} // a connection that ends while the list is made may be open in it, too
	for _, c := range listed {
		if !c.Ended.IsZero() {
			over[c.id()] = end{c.Ended.UTC(), c.Reason}
		}
	}
	ends := map[connID]end{}
	for id := range known {
		ends[id] = end{at, missedEnd}
		if e, isOver := over[id]; isOver {
			ends[id] = e
		}
	}
	open := r.open()
	for _, c := range listed {
		if _, isOver := over[c.id()]; isOver || c.Kind == KindProvisioner {
			continue
		}
		delete(ends, c.id())
		if _, isOpen := open[c.id()]; !isOpen && !r.ended[c.id()] {
			r.began(&c, now)
			differences++
		}
	}
	for id, e := range ends {
		if name, isOpen := open[id]; isOpen {
			r.disconnected(name, id, e.at, e.reason, now)
			differences++
		}
	}
	return differences
}
