package broker

import (
	"cmp"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// MinClientBacklog is the lowest of Options.MaxClientBacklog.
	MinClientBacklog = 64 << 20
	// maxBacklogOfOne is what may wait for one connection: NATS's own default. Less would end consumers that
	// are behind: JetStream sends up to 48 MiB ahead to a push consumer with flow control, such as an
	// ordered consumer.
	maxBacklogOfOne = 64 << 20
)

// backlogLimits are how many bytes may wait for connections of nodes and clients.
type backlogLimits struct {
	one   int64 // for one connection
	total int64 // for all
}

// backlogLimits returns the limits, which leave room for several of the largest messages.
func (b *Broker) backlogLimits() backlogLimits {
	return backlogLimits{
		one:   max(maxBacklogOfOne, 2*b.cfg.MaxPayload),
		total: max(b.opts.MaxClientBacklog, MinClientBacklog, 4*b.cfg.MaxPayload),
	}
}

// backlog is what waits for a connection of a node or client.
type backlog struct {
	*server.ConnInfo
	identity string // that it has proved; empty: none
}

// holder returns what shares the limit with others: the identity, or else the address.
func (b backlog) holder() string {
	if b.identity == "" {
		return "address " + b.IP
	}
	return "identity " + b.identity
}

// exceeding is a connection to end, and why.
type exceeding struct {
	backlog
	reason error
}

// excess returns the connections to end, so that none exceeds the limit of one, and all together do not
// exceed the total: of the holders with most, and of each the connections with most. No holder is cut
// that has not more than an equal share.
func (l backlogLimits) excess(list []backlog) (ended []exceeding) {
	held := map[string][]backlog{}
	sums := map[string]int64{}
	var total int64
	for _, b := range list {
		if int64(b.Pending) > l.one {
			ended = append(ended, exceeding{b, errBacklog})
			continue
		}
		held[b.holder()] = append(held[b.holder()], b)
		sums[b.holder()] += int64(b.Pending)
		total += int64(b.Pending)
	}
	if total <= l.total {
		return ended
	}
	holders := make([]string, 0, len(held))
	for holder := range held {
		holders = append(holders, holder)
	}
	slices.SortFunc(holders, func(a, b string) int { return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b)) })
	share := l.share(holders, sums)
	for _, holder := range holders {
		connections := held[holder]
		slices.SortStableFunc(connections, func(a, b backlog) int { return cmp.Compare(b.Pending, a.Pending) })
		for _, b := range connections {
			if total <= l.total {
				return ended
			}
			if sums[holder] <= share {
				break
			}
			ended = append(ended, exceeding{b, errTotalBacklog})
			sums[holder] -= int64(b.Pending)
			total -= int64(b.Pending)
		}
	}
	return ended
}

// share returns the most that each holder can have so that all have no more than the total. The holders
// are in the order of their sums, the largest first.
func (l backlogLimits) share(holders []string, sums map[string]int64) int64 {
	left := l.total
	for i := len(holders) - 1; i >= 0; i-- {
		if equal := left / int64(i+1); sums[holders[i]] > equal {
			return equal
		}
		left -= sums[holders[i]]
	}
	return left
}
