package fleet

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Summary is the fleet in numbers; those by state add up to Nodes.
type Summary struct {
	Site   string           `json:"site"`
	Nodes  int              `json:"nodes"`
	States map[State]int    `json:"states"`
	Rules  map[State]string `json:"rules"` // in words
	Sites  map[string]int   `json:"sites"`
	Storms []string         `json:"storms"` // sites where one is
	Index  []string         `json:"index"`  // facts that nodes can be selected by
	At     time.Time        `json:"at"`

	Events struct {
		Stored  uint64 `json:"stored"`  // since the start
		Dropped uint64 `json:"dropped"` // the stream did not take them for too long
		Waiting int    `json:"waiting"`
	} `json:"events"`
}

// NodeStatus is one node as it is shown.
type NodeStatus struct {
	Name                  string     `json:"name"`
	State                 State      `json:"state"`
	Since                 time.Time  `json:"since"`  // of that state
	Reason                string     `json:"reason"` // in words
	Site                  string     `json:"site"`
	Registered            time.Time  `json:"registered"`                        // when last, by the site's clock
	RegistersEverySeconds float64    `json:"registers_every_seconds,omitempty"` // usually; 0: once so far
	Connection            Connection `json:"connection"`
	ShutdownAt            time.Time  `json:"goodbye,omitzero"` // when it last said that it stops
	Classes               []string   `json:"classes,omitempty"`
	Agents                []string   `json:"agents,omitempty"`

	Facts map[string]json.RawMessage `json:"facts,omitempty"` // those that are indexed
}

// FactText is an indexed fact as text: strings as they are, everything else as JSON.
func (n *NodeStatus) FactText(name string) string { return gjson.ParseBytes(n.Facts[name]).String() }

// Summary is the fleet at this moment.
func (f *Fleet) Summary() Summary {
	s := Summary{Site: f.o.Site, States: map[State]int{}, Sites: map[string]int{}, Storms: []string{}, Index: append([]string{}, f.index.names...)}
	f.with(func(b *book, now time.Time) {
		s.At, s.Rules = now, b.rules.Words()
		for _, state := range States {
			s.States[state] = b.counts[state]
			s.Nodes += b.counts[state]
		}
		for name, site := range b.sites {
			s.Sites[name] = site.nodes
			if site.storm.id != "" {
				s.Storms = append(s.Storms, name)
			}
		}
	})
	slices.Sort(s.Storms)
	if f.outbox != nil {
		s.Events.Stored, s.Events.Dropped, s.Events.Waiting = f.outbox.counts()
	}
	return s
}

// Node is one node, if it is in the view.
func (f *Fleet) Node(name string) (shown NodeStatus, ok bool) {
	f.with(func(b *book, _ time.Time) {
		if n := b.nodes[name]; n != nil {
			shown, ok = f.show(n, &b.rules), true
		}
	})
	return shown, ok
}

func (f *Fleet) show(n *node, rules *Rules) NodeStatus {
	shown := NodeStatus{
		Name: n.name, State: n.state, Since: n.since, Reason: n.reason(n.state, rules), Site: n.site,
		Registered: n.Received, RegistersEverySeconds: n.every.Round(time.Second).Seconds(), Connection: n.link.connection(), ShutdownAt: n.ShutdownAt,
	}
	if n.inside == nil {
		return shown
	}
	shown.Facts = make(map[string]json.RawMessage, len(n.inside.facts))
	for i, value := range n.inside.facts {
		if text := value.Value(); text != "" {
			shown.Facts[f.index.names[i]] = json.RawMessage(text)
		}
	}
	shown.Classes, shown.Agents = list(n.inside.classes), list(n.inside.agents)
	return shown
}

func list(names word) []string {
	if names.Value() == "" {
		return nil
	}
	return strings.Split(names.Value(), "\n")
}
