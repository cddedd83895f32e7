package fleet

import (
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// Nodes in provisioning are connected with a token that many of them share, so the name that one gives proves
// nothing. They are kept apart from the nodes: one entry for each connection, from its beginning to its end. An entry
// has no events, and neither it nor its name changes what the view says of a node.

// maxProvisioning is how many nodes in provisioning are listed. More are counted.
const maxProvisioning = 10_000

// provisioning has the open connections of nodes in provisioning. One that is not listed has no entry.
type provisioning map[connID]*node

// provisioningKey returns what distinguishes an entry from nodes of the same name, in the order of nodes. No site has
// such a name.
func provisioningKey(id connID) string { return fmt.Sprintf("/%s/%d", id.server, id.id) }

// provisioningBegan records that a connection of a node in provisioning began.
func (r *registry) provisioningBegan(name string, c startedConnection, now time.Time) {
	if _, isOpen := r.provisioning[c.id]; isOpen {
		return
	}
	r.counts[Provisioning]++
	if r.listedProvisioning == maxProvisioning || choria.CheckNode(name) != nil {
		r.provisioning[c.id] = nil
		return
	}
	c.since, c.verified = r.adjust(c.since, now), false
	n := &node{
		name: name, site: r.home, announced: Provisioning, since: c.since, connections: new(connections),
		provisioning: provisioningKey(c.id),
	}
	n.connections.begin(c)
	r.provisioning[c.id] = n
	r.listedProvisioning++
	r.byName.Set(n)
}

// provisioningEnded records that a connection ended; ok is false if it is not that of a node in provisioning.
func (r *registry) provisioningEnded(id connID) (ok bool) {
	n, ok := r.provisioning[id]
	if !ok {
		return false
	}
	delete(r.provisioning, id)
	r.counts[Provisioning]--
	if n != nil {
		r.listedProvisioning--
		r.byName.Delete(n)
	}
	return true
}

// provisioningNamed returns the entry of a node in provisioning with that name; nil: there is none.
func (r *registry) provisioningNamed(name string) (found *node) {
	r.byName.Ascend(&node{name: name, provisioning: "/"}, func(n *node) bool {
		if n.name == name && n.provisioning != "" {
			found = n
		}
		return false
	})
	return found
}

// provisioningReason returns why an entry is shown, for operators.
func (r *registry) provisioningReason(n *node) string {
	const reason = "connected with a provisioning token, which does not prove the name"
	if r.isNameTaken(n) {
		return reason + "; a node of that name has registered"
	}
	return reason
}

// isNameTaken reports whether a node of this appliance has registered under the name of a node in provisioning.
func (r *registry) isNameTaken(n *node) bool {
	named := r.nodes[n.name]
	return n.provisioning != "" && named != nil && named.hasRegistered()
}
