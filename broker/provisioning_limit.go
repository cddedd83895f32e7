package broker

import (
	"fmt"
	"slices"
	"sync"
)

// provisioningConns has the ids of the connections of nodes in provisioning, by address: their names are not proven.
// One that has ended stays until the limit is reached.
type provisioningConns struct {
	limit int

	mu        sync.Mutex
	byAddress map[string][]uint64
	byName    map[string][]endedConn // also those that add has ended
	total     int
}

func newProvisioningConns(limit int) provisioningConns {
	return provisioningConns{
		limit: limit, byAddress: map[string][]uint64{}, byName: map[string][]endedConn{},
	}
}

// add adds a connection of a node with that name. If there are limit open ones, it makes room: it removes the newest of
// the address with most connections and returns it, unless that address has no more than the new one's would have. Then
// it returns errProvisioningLimit. So one address cannot keep out the others.
func (p *provisioningConns) add(
	id uint64, name, address string, open func(id uint64) bool,
) (ended endedConn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total >= p.limit {
		p.sweep(open)
	}
	if p.total >= p.limit {
		most := p.most()
		if len(p.byAddress[most]) < len(p.byAddress[address])+2 {
			return endedConn{}, fmt.Errorf("%w: there are %d, %d of them from this address",
				errProvisioningLimit, p.total, len(p.byAddress[address]))
		}
		ids := p.byAddress[most]
		ended = endedConn{id: ids[len(ids)-1], address: most}
		p.byAddress[most] = ids[:len(ids)-1]
		p.total--
	}
	p.byAddress[address] = append(p.byAddress[address], id)
	p.byName[name] = append(p.byName[name], endedConn{id: id, address: address})
	p.total++
	return ended, nil
}

// takeName returns the connections of nodes with that name, which the caller ends. Some may have ended already.
func (p *provisioningConns) takeName(name string) []endedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.byName[name]
	delete(p.byName, name)
	return conns
}

// endedConn is a connection that is to be ended; without an address: none.
type endedConn struct {
	id      uint64
	address string
}

// most returns the address with most connections.
func (p *provisioningConns) most() (address string) {
	for candidate, ids := range p.byAddress {
		if len(ids) > len(p.byAddress[address]) {
			address = candidate
		}
	}
	return address
}

// forget forgets connections that are not open any more.
func (p *provisioningConns) forget(open func(id uint64) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(open)
}

// sweep does what forget does. mu is held.
func (p *provisioningConns) sweep(open func(id uint64) bool) {
	for name, conns := range p.byName {
		conns = slices.DeleteFunc(conns, func(c endedConn) bool { return !open(c.id) })
		if p.byName[name] = conns; len(conns) == 0 {
			delete(p.byName, name)
		}
	}
	p.total = 0
	for address, ids := range p.byAddress {
		if ids = slices.DeleteFunc(ids, func(id uint64) bool { return !open(id) }); len(ids) == 0 {
			delete(p.byAddress, address)
			continue
		}
		p.byAddress[address] = ids
		p.total += len(ids)
	}
}

// limitProvisioning limits how many connections of nodes in provisioning there are, and how many of one name and
// address.
func (a *authenticator) limitProvisioning(id uint64, c *connectionAttempt) error {
	if err := a.identities.add(c.name+" "+c.remote(), id, a.isOpen); err != nil {
		return err
	}
	ended, err := a.provisioning.add(id, c.name, c.remote(), a.isOpen)
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
