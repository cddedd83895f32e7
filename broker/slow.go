package broker

import (
	"errors"
	"fmt"
	"math"
	"runtime/metrics"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	// backlogInterval is the shortest time between two checks.
	backlogInterval = 20 * time.Millisecond
	// maxBacklogInterval is the longest while much waits. A check takes longer the more connections
	// there are, and with many its interval grows up to this one.
	maxBacklogInterval = 250 * time.Millisecond
	// idleBacklogInterval is the longest while the process allocates little: then little more can wait.
	idleBacklogInterval = time.Minute
	// backlogCheckShare is how much longer than a check the time until the next one is.
	backlogCheckShare = 20
	// checkMemory is what a check allocates for each connection, in bytes.
	checkMemory = 1 << 10
)

// Why a connection of a node or client is ended that does not read.
var (
	errBacklog      = errors.New("max-backlog")       // too much waits for it
	errTotalBacklog = errors.New("max-total-backlog") // too much waits for all, and most for its identity
)

// watchBacklogs ends connections of nodes and clients that do not read, once too much waits for one of
// them or for all. The server has one limit for each connection, and none for all together. Internal
// connections need a high one, so that a burst that an adapter has not read yet is not lost.
//
// What waits takes memory that the process allocates. So a check follows whenever enough was allocated,
// and idle connections cost nothing.
func (b *Broker) watchBacklogs() {
	ticker := time.NewTicker(backlogInterval)
	defer ticker.Stop()
	limits := b.backlogLimits()
	var earliest, latest time.Time
	var before uint64
	for {
		select {
		case <-b.quit:
			return
		case now := <-ticker.C:
			enough := uint64(limits.total/4) + checkMemory*uint64(b.srv.NumClients())
			if now.Before(earliest) || now.Before(latest) && allocated()-before < enough {
				continue
			}
			began := b.opts.Now()
			much := b.limitBacklogs(limits)
			took := b.opts.Now().Sub(began)
			earliest, latest = now.Add(min(backlogCheckShare*took, maxBacklogInterval)), now.Add(idleBacklogInterval)
			if much {
				latest = now.Add(maxBacklogInterval)
			}
			before = allocated()
		}
	}
}

// allocated returns how many bytes this process has allocated since it began, freed ones
// included.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// limitBacklogs ends the connections that exceed the limits, and reports whether the next check should
// follow soon.
func (b *Broker) limitBacklogs(limits backlogLimits) (much bool) {
	list, err := b.srv.Connz(&server.ConnzOptions{Sort: server.ByPending, Limit: math.MaxInt32})
	if err != nil {
		return false
	}
	var backlogs []backlog
	var total int64
	for _, c := range list.Conns {
		if c.Pending == 0 {
			break
		}
		if !b.auth.isInternal(c.Cid) {
			identity, _ := b.auth.admitted.peer(c.Cid)
			backlogs = append(backlogs, backlog{ConnInfo: c, identity: identity})
			total += int64(c.Pending)
		}
	}
	for _, e := range limits.excess(backlogs) {
		b.endSlow(e)
	}
	leftovers := b.auth.sockets.closeLeftovers(b.auth.isOpen)
	return leftovers || total > limits.total/4
}

// endSlow ends a connection at once. The server alone would wait for up to ten seconds until the other
// side reads, and keep what waits for it.
func (b *Broker) endSlow(e exceeding) {
	err := b.srv.DisconnectClientByID(e.Cid)
	b.auth.sockets.close(e.Cid)
	if err != nil { // it has already closed
		return
	}
	name := e.identity
	if name == "" {
		name = e.Name
	}
	b.auth.refusals.countEnded(fmt.Errorf("%w: it does not read, %s wait for it",
		e.reason, humanize.IBytes(uint64(e.Pending))), e.IP, name, e.identity != "")
}
