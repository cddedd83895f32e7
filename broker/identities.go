package broker

import (
	"fmt"
	"slices"
	"sync"
)

const (
	// identityMemory is the memory for each connection that one identity may have: with long subjects
	// its subscriptions may take a quarter of that.
	identityMemory = 64 << 20
	// The default limit is between these.
	minPerIdentity = 8
	maxPerIdentity = 100
)

// identityLimit returns how many connections a node or client may have. memory is that of the process in
// bytes; 0: not known.
func (c *Config) identityLimit(memory int64) int {
	if c.MaxPerIdentity > 0 {
		return int(c.MaxPerIdentity)
	}
	if memory == 0 {
		return maxPerIdentity
	}
	return int(min(max(memory/identityMemory, minPerIdentity), maxPerIdentity))
}

// identities has the ids of the connections of each identity. One that has ended stays until the next
// sweep, or until the identity reaches the limit.
type identities struct {
	limit int

	mu  sync.Mutex
	ids map[string][]uint64 // by identity
}

// add adds a connection, or returns errPerIdentity if the identity has limit open ones.
func (i *identities) add(identity string, id uint64, open func(id uint64) bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	ids := i.ids[identity]
	if len(ids) >= i.limit {
		ids = slices.DeleteFunc(ids, func(id uint64) bool { return !open(id) })
		i.ids[identity] = ids
	}
	if len(ids) >= i.limit {
		return fmt.Errorf("%w: %q has %d connections", errPerIdentity, identity, len(ids))
	}
	i.ids[identity] = append(ids, id)
	return nil
}

// has reports whether the identity has an open connection.
func (i *identities) has(identity string, open func(id uint64) bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.ContainsFunc(i.ids[identity], open)
}

// replaceOldest adds a connection. If the identity has limit open ones, it removes the oldest and returns it; the
// caller ends it.
func (i *identities) replaceOldest(
	identity string, id uint64, limit int, open func(id uint64) bool,
) (oldest uint64, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	ids := i.ids[identity]
	if len(ids) >= limit {
		ids = slices.DeleteFunc(ids, func(id uint64) bool { return !open(id) })
		if ok = len(ids) >= limit; ok {
			oldest, ids = ids[0], ids[1:]
		}
	}
	i.ids[identity] = append(ids, id)
	return oldest, ok
}

// sweep forgets connections that are not open any more.
func (i *identities) sweep(open func(id uint64) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for identity, ids := range i.ids {
		if ids = slices.DeleteFunc(ids, func(id uint64) bool { return !open(id) }); len(ids) == 0 {
			delete(i.ids, identity)
			continue
		}
		i.ids[identity] = ids
	}
}
