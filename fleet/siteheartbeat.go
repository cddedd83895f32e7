package fleet

import (
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/uplink"
)

// heard records a heartbeat of a listed site and those of the sites that forward to it. It reports whether the
// edge must send a snapshot: two heartbeats in a row have other numbers of nodes than the registry, and no change
// is on its way.
func (r *registry) heard(hb *uplink.Heartbeat, now time.Time) (snapshot bool) {
	s := r.remotes[hb.Site]
	s.via = nil
	s.hear(hb, now)
	r.updateSite(s, now)
	mismatch := hb.Events == 0 && s.differs(hb)
	for i := range hb.Sites {
		inner := &hb.Sites[i]
		if other := r.remotes[inner.Site]; other != nil && other != s && other.edge == s.edge {
			r.heardVia(other, s, inner, now)
			mismatch = mismatch || hb.Events == 0 && inner.Events == 0 && other.via == s && other.differs(inner)
		}
	}
	switch {
	case !mismatch:
		s.mismatches = 0
	case s.snapshot.isRunning(now, s.interval()):
	default:
		s.mismatches++
	}
	if s.mismatches < 2 {
		return false
	}
	s.mismatches = 0
	return true
}

// heardVia records the last heartbeat of a site that forwards through another one. The edge of that one judges it.
func (r *registry) heardVia(s, via *remoteSite, hb *uplink.Heartbeat, now time.Time) {
	if s.hears(now.Add(-missedHeartbeats * s.interval())) {
		return // it connects here, too
	}
	isNew := s.heartbeat == nil || !s.heartbeat.Time.Equal(hb.Time)
	if s.via != via {
		s.via = via
		if s.state == SiteWaiting {
			s.state, s.since, s.reason = SiteUp, now, "its heartbeats arrive"
		}
	}
	if isNew {
		s.hear(hb, now)
	}
}

func (s *remoteSite) hear(hb *uplink.Heartbeat, now time.Time) {
	s.heard, s.asOf = now, now
	lineage, _, _ := strings.Cut(hb.Incarnation, ".")
	if s.lineage != "" && lineage != s.lineage {
		s.relearning = now.Add(relearnTime)
	}
	s.lineage = lineage
	s.counts[Provisioning] = max(hb.Nodes[string(Provisioning)], 0)
	kept := *hb
	kept.Sites = nil
	s.heartbeat = &kept
	s.lagMessages, s.lagSeconds = 0, 0
	for _, stream := range hb.Streams {
		s.lagMessages += stream.Unread + stream.Pending
		s.lagSeconds = max(s.lagSeconds, stream.OldestSeconds)
	}
}

// relearnTime is how long an edge that has lost its data has to learn of its nodes again: most of them register
// within an hour. Until then the hub keeps those that the edge does not know.
const relearnTime = 2 * time.Hour

// differs reports whether a heartbeat has other numbers of nodes than the registry. Connected nodes and those
// in provisioning do not count: they have no event. A heartbeat without numbers is of an edge without a fleet view, and
// one of an edge that has lost its data says nothing about the nodes that it has not learned of again.
func (s *remoteSite) differs(hb *uplink.Heartbeat) bool {
	if hb.Nodes == nil || s.heard.Before(s.relearning) {
		return false
	}
	for _, state := range States {
		if state.HasEvents() && hb.Nodes[string(state)] != s.counts[state] {
			return true
		}
	}
	return false
}

// tickSites updates the states of sites, and removes nodes that have been hidden for long.
func (r *registry) tickSites(now time.Time) {
	for _, s := range r.remotes {
		r.updateSite(s, now)
	}
	if now.Sub(r.purged) < time.Hour {
		return
	}
	r.purged = now
	for _, s := range r.remotes {
		for name, n := range s.hidden {
			if now.Sub(n.remote.hidden) >= hiddenTime {
				delete(s.hidden, name)
			}
		}
	}
}
