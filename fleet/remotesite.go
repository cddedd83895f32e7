package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/uplink"
)

const (
	// missedHeartbeats is after how many intervals without a heartbeat a site is down.
	missedHeartbeats = 3
	// The interval of heartbeats is defaultHeartbeat until one has arrived, and is within the other two.
	defaultHeartbeat           = 30 * time.Second
	minHeartbeat, maxHeartbeat = time.Second, time.Hour
)

// remoteSite is a site that forwards to this appliance.
type remoteSite struct {
	name, edge string
	nodes      map[string]*node // in the view
	hidden     map[string]*node // that have no state: they registered before their first event, or are forgotten
	conflicts  map[string]*node // nodes in conflict
	counts     map[State]int    // of nodes
	storm      bool             // its edge has reported a storm that has not ended

	state  SiteState
	since  time.Time
	reason string
	judged uint64 // sequence of the event that state is from; 0: none was read

	heard     time.Time // when the last heartbeat arrived; zero: none has since the start
	asOf      time.Time // when it was last heard of
	connected bool      // a connection of its edge is open
	address   string    // of the newest connection
	ended     time.Time // when the number of open connections last became 0; zero: not since the start
	endReason string

	lineage    string    // of the streams of its edge: the first part of the incarnation in the last heartbeat
	relearning time.Time // until when the edge may know fewer nodes, because it has lost its data; zero: it has not

	heartbeat   *uplink.Heartbeat // the last one; nil: none
	lagMessages uint64            // in it, of all streams: unread and pending
	lagSeconds  float64           // in it, the age of the oldest message without an outcome
	via         *remoteSite       // through which it forwards; nil: it connects here
	mismatches  int               // heartbeats in a row with other numbers of nodes
	snapshot    snapshot          // the one that is being applied
	corrections uint64            // nodes that snapshots corrected
}

// setSites makes the sites those that are listed, each with the name of its edge. The nodes of a site that is not
// listed any more leave the view. It reports whether a site is new.
func (r *registry) setSites(edges map[string]string, now time.Time) (added bool) {
	if maps.Equal(r.listed, edges) {
		return false
	}
	r.listed = maps.Clone(edges)
	for name, s := range r.remotes {
		if _, listed := edges[name]; !listed {
			r.removeSite(s)
		}
	}
	for name, edge := range edges {
		s := r.remotes[name]
		if s == nil {
			added = true
			s = &remoteSite{
				name: name, nodes: map[string]*node{}, hidden: map[string]*node{}, conflicts: map[string]*node{},
				counts: map[State]int{}, state: SiteWaiting,
			}
			r.remotes[name] = s
		}
		if s.edge != edge {
			s.edge = edge
			s.updateConnections(r.connections[edge], now)
		}
	}
	r.edges = map[string][]*remoteSite{}
	for _, s := range r.remotes {
		r.edges[s.edge] = append(r.edges[s.edge], s)
	}
	return added
}

func (r *registry) removeSite(s *remoteSite) {
	for _, n := range s.nodes {
		r.byName.Delete(n)
	}
	delete(r.remotes, s.name)
	for _, other := range r.remotes {
		if other.via == s {
			other.via = nil
		}
	}
}

// sortedSites returns the sites that forward here, in the order of names.
func (r *registry) sortedSites() []*remoteSite {
	byName := func(a, b *remoteSite) int { return strings.Compare(a.name, b.name) }
	return slices.SortedFunc(maps.Values(r.remotes), byName)
}

// edgeConnectionsChanged updates the sites of an edge after one of its connections began or ended.
func (r *registry) edgeConnectionsChanged(edge string, cs *connections, now time.Time) {
	for _, s := range r.edges[edge] {
		s.updateConnections(cs, now)
		r.updateSite(s, now)
	}
}

// updateConnections copies what is known of the connections of the site's edge; cs may be nil.
func (s *remoteSite) updateConnections(cs *connections, now time.Time) {
	open := cs != nil && len(cs.open) > 0
	switch {
	case open:
		s.address = cs.address
	case s.connected && cs != nil:
		s.ended, s.endReason = cs.ended, cs.reason
	case s.connected:
		s.ended, s.endReason = now, ""
	}
	s.connected = open
}

// interval returns the interval of heartbeats.
func (s *remoteSite) interval() time.Duration {
	if s.heartbeat == nil || s.heartbeat.Interval <= 0 {
		return defaultHeartbeat
	}
	seconds := min(s.heartbeat.Interval, maxHeartbeat.Seconds())
	return max(time.Duration(seconds*float64(time.Second)), minHeartbeat)
}

// updateSite computes the state of a site that connects here and emits an event if it changed. A site that was up
// before the start gets the time of the missed heartbeats from the start on.
func (r *registry) updateSite(s *remoteSite, now time.Time) {
	if s.via != nil || s.heard.IsZero() && s.state != SiteUp {
		return
	}
	silentAt := latest(s.heard, r.rules.Started).Add(missedHeartbeats * s.interval())
	lost := !s.ended.IsZero() && !s.heard.After(s.ended) &&
		(s.state == SiteDown || !s.connected && now.Sub(s.ended) >= r.rules.Grace)
	state, since, reason := SiteUp, s.heard, "its heartbeats arrive"
	switch {
	case lost:
		state, since, reason = SiteDown, s.ended, s.lostReason(r.rules.Grace)
	case !now.Before(silentAt):
		state, since = SiteDown, silentAt
		reason = "no heartbeat for " + config.FormatDuration((missedHeartbeats * s.interval()).Round(time.Second))
	}
	if state == s.state {
		return
	}
	s.state, s.since, s.reason = state, since, reason
	r.emit(s.event())
}

func (s *remoteSite) lostReason(grace time.Duration) string {
	reason := ""
	if s.endReason != "" {
		reason = fmt.Sprintf(" (%s)", s.endReason)
	}
	return "the connection of its edge ended" + reason + " and did not return within " + config.FormatDuration(grace)
}

// event returns the event of the site's state.
func (s *remoteSite) event() *Event {
	return &Event{
		Event: string(s.state), Site: s.name, Reason: s.reason, Since: s.since, Received: s.asOf,
	}
}

// applySiteEvent applies an event about a site that this appliance stored before the start, or that an edge
// forwarded.
func (r *registry) applySiteEvent(e *Event, at position) {
	s := r.remotes[e.Site]
	if s == nil {
		return
	}
	switch e.Event {
	case eventStorm, eventCalm:
		s.storm = e.Event == eventStorm && e.Via == ""
	case eventSiteUp, eventSiteDown:
		r.judge(s, e, at)
	}
}

// judge makes the state of a site that of an event. The edge of another site forwards such events of the sites
// that forward to it; that they have the same edge here was checked.
func (r *registry) judge(s *remoteSite, e *Event, at position) {
	via := r.remotes[e.Via]
	if at.sequence <= s.judged || e.Via != "" && (via == nil || via.edge != s.edge) {
		return
	}
	s.judged = at.sequence
	if via != nil && s.hears(r.rules.Started) {
		return // it connects here now
	}
	s.via, s.since, s.reason, s.state = via, e.Since, printableText(e.Reason, maxReason), SiteUp
	if e.Event == eventSiteDown {
		s.state = SiteDown
	}
	s.asOf = latest(s.asOf, e.Received)
}

// hears reports whether the last heartbeat of the site arrived from the site itself since a time.
func (s *remoteSite) hears(since time.Time) bool { return s.via == nil && s.heard.After(since) }
