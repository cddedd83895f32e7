package broker

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// provisioningSweep is the minimum time between two sweeps of a full table: each looks at all connections.
	provisioningSweep = 100 * time.Millisecond
	// provisioningAge is the age from which a connection makes room for a new one: a node is provisioned in minutes.
	provisioningAge = time.Hour
	// networkBits is the prefix of an IPv6 address that one host may have for itself.
	networkBits = 64
)

// provisioningConn is a connection of a node in provisioning; without an address: none.
type provisioningConn struct {
	id      uint64
	address string
	began   time.Time
}

// provisioningConns has the connections of nodes in provisioning by network, see network: their names are not proven.
// One that has ended stays until the next sweep.
type provisioningConns struct {
	limit int

	mu        sync.Mutex
	byNetwork map[string][]provisioningConn // the oldest first
	byName    map[string][]provisioningConn
	total     int
	swept     time.Time
	largest   string           // network with most connections at the last sweep
	oldest    provisioningConn // at the last sweep
}

func newProvisioningConns(limit int) provisioningConns {
	return provisioningConns{
		limit: limit, byNetwork: map[string][]provisioningConn{}, byName: map[string][]provisioningConn{},
	}
}

// network returns what counts as one origin of connections: an IPv4 address, or the /64 of an IPv6 address.
func (c *connectionAttempt) network() string {
	if !c.address.Is6() {
		return c.remote()
	}
	return netip.PrefixFrom(c.address.WithZone(""), networkBits).Masked().String()
}

// add adds a connection of a node with that name. If there are limit open ones, it removes another one to make room
// and returns it, or it returns errProvisioningLimit.
func (p *provisioningConns) add(
	c provisioningConn, name, network string, open func(id uint64) bool,
) (ended provisioningConn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if since := c.began.Sub(p.swept); p.total >= p.limit && (since < 0 || since >= provisioningSweep) {
		p.sweep(open)
		p.swept = c.began
	}
	if p.total >= p.limit {
		if ended = p.makeRoom(network, c.began); ended.address == "" {
			return ended, fmt.Errorf("%w: there are %d, %d of them from this network",
				errProvisioningLimit, p.total, len(p.byNetwork[network]))
		}
	}
	p.byNetwork[network] = append(p.byNetwork[network], c)
	p.byName[name] = append(p.byName[name], c)
	p.total++
	return ended, nil
}

// makeRoom removes a connection and returns it: the newest of the network with most, unless that has no more than the
// new one's would have; so one network cannot keep out the others. Else the oldest of the same network, or if it has
// none the oldest of all, if that is older than provisioningAge; so those that came first cannot keep out the others.
// mu is held.
func (p *provisioningConns) makeRoom(network string, now time.Time) (ended provisioningConn) {
	most, own := p.byNetwork[p.largest], p.byNetwork[network]
	switch {
	case len(most) >= len(own)+2:
		ended = most[len(most)-1]
		p.byNetwork[p.largest] = most[:len(most)-1]
	case len(own) > 0 && now.Sub(own[0].began) > provisioningAge:
		ended = own[0]
		p.byNetwork[network] = own[1:]
	case len(own) == 0 && p.oldest.address != "" && now.Sub(p.oldest.began) > provisioningAge:
		ended, p.oldest = p.oldest, provisioningConn{}
		for candidate, conns := range p.byNetwork {
			p.byNetwork[candidate] = slices.DeleteFunc(conns, func(c provisioningConn) bool { return c.id == ended.id })
		}
	default:
		return provisioningConn{}
	}
	p.total--
	return ended
}

// takeName returns the connections of nodes with that name, which the caller ends. Some may have ended already.
func (p *provisioningConns) takeName(name string) []provisioningConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.byName[name]
	delete(p.byName, name)
	return conns
}

// forget forgets connections that are not open any more.
func (p *provisioningConns) forget(open func(id uint64) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(open)
}

// sweep does what forget does, and looks for the largest network and the oldest connection. mu is held.
func (p *provisioningConns) sweep(open func(id uint64) bool) {
	for _, all := range []map[string][]provisioningConn{p.byName, p.byNetwork} {
		for key, conns := range all {
			conns = slices.DeleteFunc(conns, func(c provisioningConn) bool { return !open(c.id) })
			if all[key] = conns; len(conns) == 0 {
				delete(all, key)
			}
		}
	}
	p.total, p.largest, p.oldest = 0, "", provisioningConn{}
	for network, conns := range p.byNetwork {
		p.total += len(conns)
		if len(conns) > len(p.byNetwork[p.largest]) {
			p.largest = network
		}
		if p.oldest.address == "" || conns[0].began.Before(p.oldest.began) {
			p.oldest = conns[0]
		}
	}
}

// limitProvisioning limits how many connections of nodes in provisioning there are, and how many of one name and
// network.
func (a *authenticator) limitProvisioning(id uint64, c *connectionAttempt) error {
	if err := a.identities.add(c.name+" "+c.network(), id, a.isOpen); err != nil {
		return err
	}
	conn := provisioningConn{id: id, address: c.remote(), began: a.now()}
	ended, err := a.provisioning.add(conn, c.name, c.network(), a.isOpen)
	if ended.address != "" {
		a.disconnect(ended.id)
		a.refusals.countEnded(errProvisioningLimit, ended.address, "", false)
	}
	if err != nil {
		return err
	}
	return a.checkNameIsFree(c.name) // again: limitNode may not have seen this connection
}

// checkNameIsFree returns an error if a node with that name is connected.
func (a *authenticator) checkNameIsFree(name string) error {
	if a.identities.has(name, a.isOpen) {
		return fmt.Errorf("%w: %q", errNameInUse, name)
	}
	return nil
}

// limitNode limits how many connections a node has, and ends those of nodes in provisioning that call themselves by its
// name: they could read what the provisioner sends to that name.
func (a *authenticator) limitNode(id uint64, identity string) error {
	if err := a.identities.add(identity, id, a.isOpen); err != nil {
		return err
	}
	for _, c := range a.provisioning.takeName(identity) {
		if a.isOpen(c.id) {
			a.disconnect(c.id)
			a.refusals.countEnded(fmt.Errorf("%w: the node has connected", errNameInUse), c.address, identity, false)
		}
	}
	return nil
}
