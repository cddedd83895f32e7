package fleet

import (
	"fmt"
	"time"
)

const (
	// stormTime is how soon after each other the nodes of a site must go.
	stormTime = time.Minute
	// leastStorm is how many: one node is no storm, however small the site.
	leastStorm = 2
)

// site is what is known of the nodes of a site together.
type site struct {
	name  string
	nodes int         // that are in the view
	gone  []time.Time // when nodes went down, in the last minute
	storm storm
}

// storm is that so many nodes of a site have gone that the site is meant.
type storm struct {
	id    string // empty: there is none
	since time.Time
	nodes int       // that have gone in it
	until time.Time // it is not over before
}

func (b *book) site(name string) *site {
	s := b.sites[name]
	if s == nil {
		s = &site{name: name}
		b.sites[name] = s
	}
	return s
}

// went notes that a node has gone down.
func (s *site) went(now time.Time) {
	s.gone = append(s.gone, now)
	if s.storm.id != "" {
		s.storm.nodes++
	}
}

// weather says where a storm has begun, and where one is over.
func (b *book) weather(now time.Time) {
	for _, s := range b.sites {
		for len(s.gone) > 0 && now.Sub(s.gone[0]) >= stormTime {
			s.gone = s.gone[1:]
		}
		many := len(s.gone) >= leastStorm && int64(len(s.gone))*100 > b.stormShare*int64(s.nodes)
		switch {
		case many && s.storm.id == "":
			since := s.gone[0]
			s.storm = storm{id: fmt.Sprintf("%s-%d", s.name, since.UnixNano()), since: since, nodes: len(s.gone)}
			b.emit(s.event(kindStorm, fmt.Sprintf("%d of %d nodes went down within a minute", s.storm.nodes, s.nodes)))
		case !many && s.storm.id != "" && !now.Before(s.storm.until):
			b.emit(s.event(kindCalm, fmt.Sprintf("%d nodes went down in the storm that began %s", s.storm.nodes, s.storm.since.UTC().Format(time.RFC3339))))
			s.storm = storm{}
		}
	}
}

func (s *site) event(kind, reason string) *Event {
	return &Event{Event: kind, Site: s.name, Reason: reason, Since: s.storm.since, Storm: s.storm.id, Nodes: s.storm.nodes, Of: s.nodes}
}

// restoreStorm goes on with a storm that had not ended when the last process did. Those
// nodes that had not been told of then get the time to come back first.
func (b *book) restoreStorm(e *Event) {
	b.site(e.Site).storm = storm{id: e.Storm, since: e.Since, nodes: e.Nodes, until: b.rules.Started.Add(b.rules.Down + stormTime)}
}
