package fleet

import (
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// SiteState is the state of a site.
type SiteState string

// The states of sites. The site of this appliance is always up.
const (
	SiteUp      SiteState = "up"      // heartbeats arrive
	SiteDown    SiteState = "down"    // its connection ended and did not return, or heartbeats are missing
	SiteWaiting SiteState = "waiting" // listed in [broker.sites], and not heard of yet
)

// SiteStatus is a site as it is shown: that of this appliance, or one that forwards to it.
type SiteStatus struct {
	Site   string        `json:"site"`
	Home   bool          `json:"home"` // it is the site of this appliance
	State  SiteState     `json:"state"`
	Since  time.Time     `json:"since,omitzero"` // when the cause of State happened
	Reason string        `json:"reason"`         // why the site is in State, for operators
	AsOf   time.Time     `json:"as_of,omitzero"` // when it was last heard of, by the clock of this appliance
	Edge   string        `json:"edge,omitempty"` // the name in [broker.sites]
	Via    string        `json:"via,omitempty"`  // the site through which it forwards; empty: it connects here
	Nodes  map[State]int `json:"nodes"`          // by state, as this appliance has them

	Connected   bool   `json:"connected"`         // a connection of its edge is open
	Address     string `json:"address,omitempty"` // of its newest connection
	Version     string `json:"version,omitempty"` // of its edge
	Incarnation string `json:"incarnation,omitempty"`

	LagMessages  uint64  `json:"lag_messages"`  // of all its streams: unread and pending
	LagSeconds   float64 `json:"lag_seconds"`   // the largest of its streams: age of the oldest message without an outcome
	ClockSeconds float64 `json:"clock_seconds"` // how far the clock of its edge is ahead; negative: it is behind

	Streams     map[string]uplink.Stream `json:"streams,omitempty"`  // that are forwarded
	Adapters    map[string]uplink.Ledger `json:"adapters,omitempty"` // of its edge
	Disk        uplink.Disk              `json:"disk"`               // of its edge
	Corrections uint64                   `json:"corrections"`        // nodes that snapshots corrected, since the start
}

// NodeID identifies a node. Two sites may have a node of the same name.
type NodeID struct {
	Site string // empty: this appliance's node of that name, otherwise that of the first site that has one
	Name string
}

// ID returns what identifies the node.
func (n *NodeStatus) ID() NodeID { return NodeID{n.Site, n.Name} }

// Sites returns the status of every site, that of this appliance first, the others in the order of names.
func (f *Fleet) Sites() []SiteStatus {
	var all []SiteStatus
	f.withRegistry(func(r *registry, now time.Time) {
		all = append(all, r.homeStatus(now))
		for _, s := range r.sortedSites() {
			all = append(all, s.status())
		}
	})
	return all
}

// Site returns the status of a site; ok is false if it is neither this appliance's nor listed.
func (f *Fleet) Site(name string) (status SiteStatus, ok bool) {
	f.withRegistry(func(r *registry, now time.Time) {
		if s := r.remotes[name]; s != nil {
			status, ok = s.status(), true
		} else if name == r.home {
			status, ok = r.homeStatus(now), true
		}
	})
	return status, ok
}

func (r *registry) homeStatus(now time.Time) SiteStatus {
	return SiteStatus{
		Site: r.home, Home: true, State: SiteUp, Since: r.rules.Started, AsOf: now, Connected: true,
		Reason: "the site of this appliance", Nodes: allStates(r.counts),
	}
}

// allStates returns the number of nodes in each state.
func allStates(counts map[State]int) map[State]int {
	all := map[State]int{}
	for _, state := range States {
		all[state] = counts[state]
	}
	return all
}

// status returns the site as it is shown.
func (s *remoteSite) status() SiteStatus {
	status := SiteStatus{
		Site: s.name, State: s.state, Since: s.since, Reason: s.reason, AsOf: s.asOf, Edge: s.edge,
		Nodes: allStates(s.counts), Connected: s.connected, Address: s.address, Corrections: s.corrections,
		LagMessages: s.lagMessages, LagSeconds: s.lagSeconds,
	}
	if s.state == SiteWaiting {
		status.Reason = "no heartbeat yet"
	}
	if s.via != nil {
		status.Via = s.via.name
		if s.via.state == SiteDown {
			status.State, status.Since = SiteDown, s.via.since
			status.Reason = "site " + s.via.name + ", through which it forwards, is down"
		}
	}
	if hb := s.heartbeat; hb != nil {
		status.Version, status.Incarnation = printableText(hb.Version, maxAddress), printableText(hb.Incarnation, maxAddress)
		status.ClockSeconds = hb.Time.Sub(s.heard).Seconds()
		status.Streams, status.Adapters, status.Disk = hb.Streams, hb.Adapters, hb.Disk
	}
	return status
}
