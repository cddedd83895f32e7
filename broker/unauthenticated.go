package broker

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	// unauthenticatedInterval is how often connections that have not authenticated are counted.
	// Between two counts there may be more of them than the limit.
	unauthenticatedInterval = 100 * time.Millisecond
	// unauthenticatedShare is the default limit: one of so many of max_connections, and no more than one
	// for each unauthenticatedMemory.
	unauthenticatedShare  = 10
	unauthenticatedMemory = 1 << 20
	// minUnauthenticated is the lowest default.
	minUnauthenticated = 100
	// listingShare is which part of the time may be spent on listing connections.
	listingShare = 10
	// initialAccount is the server's account for connections that have not authenticated yet.
	initialAccount = "$G"
)

// unauthenticatedLimit returns how many connections may be open that have not authenticated.
// memory is that of the process in bytes; 0: not known.
func (c *Config) unauthenticatedLimit(memory int64) int {
	if c.MaxUnauthenticated > 0 {
		return int(c.MaxUnauthenticated)
	}
	limit := c.MaxConnections / unauthenticatedShare
	if memory > 0 {
		limit = min(limit, memory/unauthenticatedMemory)
	}
	return int(max(limit, minUnauthenticated))
}

// watchUnauthenticated closes connections that have not authenticated, as far as there are more
// than the limit. The server has no such limit and no listener of ours, so it is enforced
// afterwards.
func (b *Broker) watchUnauthenticated() {
	ticker := time.NewTicker(unauthenticatedInterval)
	defer ticker.Stop()
	var next time.Time
	for {
		select {
		case <-b.quit:
			return
		case now := <-ticker.C:
			if now.Before(next) {
				continue
			}
			began := b.opts.Now()
			b.limitUnauthenticated()
			b.limitUpgrades()
			next = now.Add(listingShare * b.opts.Now().Sub(began))
		}
	}
}

func (b *Broker) limitUnauthenticated() {
	limit := b.cfg.unauthenticatedLimit(b.opts.Memory)
	waiting := b.srv.GlobalAccount().NumLocalConnections()
	if waiting <= limit {
		return
	}
	// With Account in the options the server has a data race.
	list, err := b.srv.Connz(&server.ConnzOptions{Username: true, Limit: math.MaxInt32})
	if err != nil {
		return
	}
	// The list leaves out the name of initialAccount.
	list.Conns = slices.DeleteFunc(list.Conns, func(c *server.ConnInfo) bool { return c.Account != "" })
	slices.SortFunc(list.Conns, func(a, b *server.ConnInfo) int { return cmp.Compare(a.Cid, b.Cid) })
	for _, c := range excess(list.Conns, limit, func(c *server.ConnInfo) string { return c.IP }) {
		if err := b.srv.DisconnectClientByID(c.Cid); err == nil { // an error means that it has already closed
			b.auth.refusals.countRefusal(errUnauthenticated, c.IP, "")
		}
	}
}

// excess returns the connections to close so that limit remain, of a list with the oldest first: those of the addresses
// that have most, and of each address the newest. So an address with many connections makes room for others, and in a
// reconnect storm those that came first complete.
func excess[T any](connections []T, limit int, address func(T) string) []T {
	type ranked struct {
		index, rank int // in the list; among the connections of the address
	}
	seen := map[string]int{}
	all := make([]ranked, len(connections))
	for i, c := range connections {
		all[i] = ranked{i, seen[address(c)]}
		seen[address(c)]++
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(b.index, a.index))
	})
	var closed []T
	for _, r := range all[:max(len(all)-limit, 0)] {
		closed = append(closed, connections[r.index])
	}
	return closed
}

// subscribeRefused makes handleRefused count the connections that the server itself refuses. Its
// log has a line for only the first of them; its events have all.
func (b *Broker) subscribeRefused() error {
	nc, err := b.ConnectSystem("muster-refused")
	if err != nil {
		return err
	}
	b.refusalEvents = nc
	subscription, err := nc.Subscribe("$SYS.ACCOUNT."+initialAccount+".DISCONNECT", b.handleRefused)
	if err != nil {
		return err
	}
	if err := subscription.SetPendingLimits(-1, -1); err != nil { // all of a flood are counted
		return err
	}
	return nc.Flush() // before the port opens
}

func (b *Broker) handleRefused(m *nats.Msg) {
	var event server.DisconnectEventMsg
	if json.Unmarshal(m.Data, &event) != nil {
		return
	}
	switch event.Reason {
	case server.MaxConnectionsExceeded.String():
		b.auth.refusals.countRefusal(errConnections, event.Client.Host, event.Client.Name)
	case server.AuthenticationTimeout.String():
		b.auth.refusals.countRefusal(errTimeout, event.Client.Host, event.Client.Name)
	}
}
