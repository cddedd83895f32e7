package broker

import (
	"maps"
	"sync"

	"github.com/muster-appliance/muster/internal/choria"
)

// Role is what a connection is admitted as.
type Role uint8

// The roles. An administrator is a node's or client's connection with administrator's rights, as in the
// audit. RoleNone is the role of a connection that is not admitted, or that ended a while ago.
const (
	RoleNone Role = iota
	RoleNode
	RoleClient
	RoleAdmin
	RoleInternal // a connection of the appliance itself
	RoleEdge     // an appliance that forwards to this one

	RoleProvisioning // a node without an identity, in ProvisioningAccount
	RoleProvisioner  // gives identities to such nodes
	RoleLeafnode     // the broker of another site
)

// String returns the role as metrics and the API have it.
func (r Role) String() string {
	return [...]string{
		"none", "node", "client", "admin", "internal", "edge", "provisioning", "provisioner", "leafnode",
	}[r]
}

// unprovenRole returns the role of a connection in a lab, which proves nothing, by the name that it gave
// itself. Choria's servers give their identity. Its clients give their caller id and a suffix, such as
// choria=rip.mcollective-publisher, and the nats command a name with spaces: neither is a node's name.
func unprovenRole(name string) Role {
	if choria.CheckNode(name) != nil {
		return RoleClient
	}
	return RoleNode
}

// minRoles is how many roles are kept at least until those of ended connections are removed.
const minRoles = 1000

// connectionRoles has the roles of admitted connections, by id. The role of a connection that has ended
// stays for a while, so that it is known when the event about its end is read.
type connectionRoles struct {
	mu    sync.Mutex
	roles map[uint64]Role
	limit int // number of roles at which those of ended connections are removed
}

// add sets the role of a connection. Once the roles have doubled, it removes those of connections that
// are not open.
func (c *connectionRoles) add(id uint64, role Role, open func(id uint64) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.roles) >= c.limit {
		maps.DeleteFunc(c.roles, func(id uint64, _ Role) bool { return !open(id) })
		c.limit = max(2*len(c.roles), minRoles)
	}
	c.roles[id] = role
}

func (c *connectionRoles) get(id uint64) Role {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roles[id]
}

// count returns how many connections of each role are open.
func (c *connectionRoles) count(open func(id uint64) bool) map[Role]int {
	counts := map[Role]int{
		RoleNode: 0, RoleClient: 0, RoleAdmin: 0, RoleInternal: 0, RoleEdge: 0, RoleProvisioning: 0, RoleProvisioner: 0,
		RoleLeafnode: 0,
	}
	c.mu.Lock()
	roles := maps.Clone(c.roles)
	c.mu.Unlock()
	for id, role := range roles {
		if open(id) {
			counts[role]++
		}
	}
	return counts
}

// RoleOf returns the role of the connection with that id. It is known before the server publishes the
// connect event of the connection.
func (b *Broker) RoleOf(id uint64) Role { return b.auth.connectionRoles.get(id) }
