package fleet

import (
	"fmt"
	"time"
)

const (
	// stormWindow is the time within which nodes of a site must go down to be one storm.
	stormWindow = time.Minute
	// minStormNodes is how many nodes a storm has at least: one node is not a storm, however
	// small its site.
	minStormNodes = 2
)

// site has what concerns all nodes of a site together.
type site struct {
	name       string
	nodes      int         // in the view
	registered int         // of these, those that have registered: the others cannot go down
	downTimes  []time.Time // when nodes went down, within the last stormWindow
	storm      storm
}

// storm describes that more than Config.StormShare percent of a site's nodes went down within
// stormWindow: then the cause is the site, not the nodes.
type storm struct {
	id    string    // empty: there is no storm
	since time.Time // when the first node went down
	nodes int       // that went down in it
	until time.Time // earliest end; zero: any time
}

// site returns the site of that name, which is added if it is new.
func (r *registry) site(name string) *site {
	s := r.sites[name]
	if s == nil {
		s = &site{name: name}
		r.sites[name] = s
	}
	return s
}

// countDown records that a node of the site went down.
func (s *site) countDown(now time.Time) {
	s.downTimes = append(s.downTimes, now)
	if s.storm.id != "" {
		s.storm.nodes++
	}
}

// updateStorms begins and ends the storms of all sites, and emits an event for each.
func (r *registry) updateStorms(now time.Time) {
	for _, s := range r.sites {
		for len(s.downTimes) > 0 && now.Sub(s.downTimes[0]) >= stormWindow {
			s.downTimes = s.downTimes[1:]
		}
		enough := len(s.downTimes) >= minStormNodes && int64(len(s.downTimes))*100 > r.stormShare*int64(s.registered)
		switch {
		case enough && s.storm.id == "":
			since := s.downTimes[0]
			id := fmt.Sprintf("%s-%d", s.name, since.UnixNano())
			s.storm = storm{id: id, since: since, nodes: len(s.downTimes)}
			r.emit(s.event(eventStorm, fmt.Sprintf("%d of %d nodes went down within a minute", s.storm.nodes, s.registered)))
		case !enough && s.storm.id != "" && !now.Before(s.storm.until):
			r.emit(s.event(eventCalm, fmt.Sprintf("%d nodes went down in the storm that began %s",
				s.storm.nodes, s.storm.since.UTC().Format(time.RFC3339))))
			s.storm = storm{}
		}
	}
}

func (s *site) event(kind, reason string) *Event {
	return &Event{
		Event: kind, Site: s.name, Reason: reason, Since: s.storm.since,
		Storm: s.storm.id, Nodes: s.storm.nodes, Of: s.registered,
	}
}

// restoreStorm continues a storm that had not ended when the previous process did. It lasts at
// least until the nodes that were not down yet have had the time to register again.
func (r *registry) restoreStorm(e *Event) {
	e.notAfter(r.rules.Started, &r.rules)
	_, down := r.rules.limits(&gaps{})
	r.site(e.Site).storm = storm{
		id: e.Storm, since: e.Since, nodes: e.Nodes, until: r.rules.Started.Add(down + stormWindow),
	}
}
