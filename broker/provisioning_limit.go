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
	total     int
}

// add adds a connection. If there are limit open ones, it makes room: it removes the newest of the address with most
// connections and returns it, unless that address has no more than the new one's would have. Then it returns
// errProvisioningLimit. So one address cannot keep out the others.
func (p *provisioningConns) add(id uint64, address string, open func(id uint64) bool) (ended endedConn, err error) {
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
	p.total++
	return ended, nil
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

// sweep forgets connections that are not open any more. mu is held.
func (p *provisioningConns) sweep(open func(id uint64) bool) {
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
	ended, err := a.provisioning.add(id, c.remote(), a.isOpen)
	if ended.address != "" {
		a.disconnect(ended.id)
		a.refusals.countEnded(errProvisioningLimit, ended.address, "", false)
	}
	return err
}
