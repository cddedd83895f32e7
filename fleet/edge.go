package fleet

import (
	"encoding/json"
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// maxSnapshotBytes is how many bytes the nodes of a page of a snapshot have at most; one more node may exceed it.
const maxSnapshotBytes = 256 << 10

// Counts returns how many nodes of this appliance are in each state, and how many events of changes wait to be
// stored: all changes that the counts have are stored, or wait. Connected nodes are left out, since they have no
// events; those in provisioning have none, too, and are counted apart from the nodes.
func (f *Fleet) Counts() (states map[string]int, waiting int) {
	states = map[string]int{}
	f.withRegistry(func(r *registry, _ time.Time) {
		for _, state := range States {
			if state != Connected {
				states[string(state)] = r.counts[state]
			}
		}
		if f.outbox != nil {
			_, _, waiting = f.outbox.counts()
		}
	})
	return states, waiting
}

// SnapshotPage returns the states of nodes, of this appliance and of the sites that forward to it, in the form of
// events and in a fixed order, at most limit and about 256 KiB. It begins with the first node after a position,
// and returns the position for the next page; both are empty at the ends. Nodes without events are left out.
func (f *Fleet) SnapshotPage(after string, limit int) (nodes []json.RawMessage, next string) {
	bytes := 0
	var last *node
	f.walk(after, func(n *node, r *Rules) bool {
		if !n.announced.HasEvents() {
			return true
		}
		if last != nil && (len(nodes) == limit || bytes >= maxSnapshotBytes) {
			next = cursorBefore(last, n)
			return false
		}
		last = n
		data, err := json.Marshal(n.snapshot(f.opts.Site, r))
		if err == nil { // a time after the year 9999 cannot be encoded; adapters and the broker pass on none
			nodes = append(nodes, data)
			bytes += len(data)
		}
		return true
	})
	return nodes, next
}

// snapshot returns the state of a node as an event. home is the site of this appliance.
func (n *node) snapshot(home string, r *Rules) *Event {
	e := &Event{
		Event: string(n.announced), Node: n.name, To: n.announced, Site: home, Reason: n.shownReason(r),
		Since: n.since, Received: n.Received, Ended: n.Ended, ShutdownAt: n.ShutdownAt,
	}
	if n.remote != nil {
		e.Site = n.site
	}
	e.Address = n.shownConnection().Address
	if interval, known := n.gaps.interval(); known {
		e.Interval = interval.Seconds()
	}
	return e
}

// SiteHeartbeats returns the last heartbeat of each site that forwards to this appliance, with the numbers of its
// nodes here. An edge that is a hub too puts them into its own heartbeat.
func (f *Fleet) SiteHeartbeats() (all []uplink.Heartbeat) {
	f.withRegistry(func(r *registry, _ time.Time) {
		for _, s := range r.sortedSites() {
			if s.heartbeat == nil {
				continue
			}
			hb := *s.heartbeat
			hb.Nodes = map[string]int{}
			for _, state := range States {
				if state != Connected {
					hb.Nodes[string(state)] = s.counts[state]
				}
			}
			all = append(all, hb)
		}
	})
	return all
}
