package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/tidwall/gjson"
)

// Summary is the fleet in numbers. The numbers in States without Provisioning, and those in Sites, add up to Nodes.
type Summary struct {
	Site   string           `json:"site"`  // of this appliance
	Nodes  int              `json:"nodes"` // in the view
	States map[State]int    `json:"states"`
	Rules  map[State]string `json:"rules"`  // what each state means, for operators
	Sites  map[string]int   `json:"sites"`  // nodes by site
	Storms []string         `json:"storms"` // sites that have a storm

	Conflicts []string  `json:"conflicts"` // identities that two nodes use, sorted
	Index     []string  `json:"index"`     // facts that nodes can be selected by
	At        time.Time `json:"at"`

	Events struct {
		Stored  uint64 `json:"stored"`  // since the start
		Dropped uint64 `json:"dropped"` // since the start; too many waited, or the appliance stopped
		Waiting int    `json:"waiting"` // to be stored
	} `json:"events"`
}

// NodeStatus is a node as it is shown.
type NodeStatus struct {
	Name       string    `json:"name"`
	State      State     `json:"state"`
	Since      time.Time `json:"since"`                 // when the cause of State happened
	Reason     string    `json:"reason"`                // why the node is in State, for operators
	Site       string    `json:"site"`                  // that collected its last registration
	AsOf       time.Time `json:"as_of,omitzero"`        // SiteStatus.AsOf; zero: the node is of this appliance's site
	LagSeconds float64   `json:"lag_seconds,omitempty"` // SiteStatus.LagSeconds
	Registered time.Time `json:"registered,omitzero"`   // when the last registration was received

	RegistersEverySeconds float64    `json:"registers_every_seconds,omitempty"` // estimated; 0: not known
	Connection            Connection `json:"connection"`
	ShutdownAt            time.Time  `json:"goodbye,omitzero"`     // in JSON goodbye, which existing readers expect
	Rejected              *Rejection `json:"rejected,omitempty"`   // nil: no message since the last registration
	Conflict              *Conflict  `json:"conflict,omitempty"`   // nil: there is none
	NameTaken             bool       `json:"name_taken,omitempty"` // in provisioning; a node of the name has registered
	Classes               []string   `json:"classes,omitempty"`
	Collectives           []string   `json:"collectives,omitempty"` // only from inventories
	Agents                []string   `json:"agents,omitempty"`

	Facts map[string]json.RawMessage `json:"facts,omitempty"` // indexed facts by path
}

// Rejection is a message of a node that an adapter rejected.
type Rejection struct {
	Reason string    `json:"reason"` // one word, as in the metrics
	Detail string    `json:"detail"` // the reason in words; may have text that the node chose
	At     time.Time `json:"at"`
}

// FactText returns an indexed fact as text: a string without quotes, anything else as JSON.
func (n *NodeStatus) FactText(name string) string { return gjson.ParseBytes(n.Facts[name]).String() }

// Summary returns the fleet in numbers, all of the same moment.
func (f *Fleet) Summary() Summary {
	s := Summary{
		Site: f.opts.Site, States: map[State]int{}, Sites: map[string]int{}, Storms: []string{}, Conflicts: []string{},
		Index: append([]string{}, f.index.paths...),
	}
	f.withRegistry(func(r *registry, now time.Time) {
		s.At, s.Rules = now, r.rules.Descriptions()
		s.addNodes(r.counts, "")
		for name, site := range r.sites {
			s.Sites[name] += site.nodes
			if site.storm.id != "" {
				s.Storms = append(s.Storms, name)
			}
		}
		s.Conflicts = slices.AppendSeq(s.Conflicts, maps.Keys(r.conflicts))
		for name, site := range r.remotes {
			s.addNodes(site.counts, name)
			if site.storm {
				s.Storms = append(s.Storms, name)
			}
			s.Conflicts = slices.AppendSeq(s.Conflicts, maps.Keys(site.conflicts))
		}
	})
	slices.Sort(s.Storms)
	slices.Sort(s.Conflicts)
	s.Storms, s.Conflicts = slices.Compact(s.Storms), slices.Compact(s.Conflicts)
	if f.outbox != nil {
		s.Events.Stored, s.Events.Dropped, s.Events.Waiting = f.outbox.counts()
	}
	return s
}

// addNodes adds nodes by state, which are of a site if that is not empty.
func (s *Summary) addNodes(counts map[State]int, site string) {
	for _, state := range States {
		s.States[state] += counts[state]
		if state == Provisioning { // no nodes yet
			continue
		}
		s.Nodes += counts[state]
		if site != "" {
			s.Sites[site] += counts[state]
		}
	}
}

// Node returns a node; ok is false if it is not in the view.
func (f *Fleet) Node(id NodeID) (status NodeStatus, ok bool) {
	f.withRegistry(func(r *registry, _ time.Time) {
		if n := r.lookup(id); n != nil {
			status, ok = f.status(n, &r.rules), true
		}
	})
	return status, ok
}

// Named returns the nodes of that name, this appliance's first, the others in the order of sites.
func (f *Fleet) Named(name string) []NodeStatus {
	var nodes []NodeStatus
	f.withRegistry(func(r *registry, _ time.Time) {
		if n := r.nodes[name]; n != nil {
			nodes = append(nodes, f.status(n, &r.rules))
		}
		for _, s := range r.sortedSites() {
			if n := s.nodes[name]; n != nil {
				nodes = append(nodes, f.status(n, &r.rules))
			}
		}
	})
	return nodes
}

// status returns a node as it is shown. The registry must be locked.
func (f *Fleet) status(n *node, rules *Rules) NodeStatus {
	interval, _ := n.gaps.interval()
	status := NodeStatus{
		Name: n.name, State: n.announced, Since: n.since, Reason: n.shownReason(rules), Site: n.site,
		Registered: n.Received, RegistersEverySeconds: interval.Round(time.Second).Seconds(),
		Connection: n.shownConnection(), ShutdownAt: n.ShutdownAt,
	}
	if n.remote != nil {
		status.AsOf, status.LagSeconds = n.remote.site.asOf, n.remote.site.lagSeconds
	}
	if n.provisioning != "" {
		status.NameTaken, status.Reason = f.registry.isNameTaken(n), f.registry.provisioningReason(n)
		return status
	}
	if status.Conflict = n.conflictOf(); status.Conflict != nil {
		status.Reason += "; " + status.Conflict.String()
	}
	if n.remote == nil {
		f.addRejected(&status)
	}
	if n.facts == nil {
		return status
	}
	status.Facts = make(map[string]json.RawMessage, len(n.facts.values))
	for i, value := range n.facts.values {
		if text := value.Value(); text != "" {
			status.Facts[f.index.paths[i]] = json.RawMessage(text)
		}
	}
	status.Classes, status.Agents = splitLines(n.facts.classes), splitLines(n.facts.agents)
	status.Collectives = splitLines(n.facts.collectives)
	return status
}

// addRejected adds to a node that is connected and does not register which of its messages was rejected
// last. That is usually why.
func (f *Fleet) addRejected(status *NodeStatus) {
	if status.State != Connected && status.State != Late {
		return
	}
	r, ok := f.opts.LastRejected(status.Name)
	if !ok || !r.At.After(status.Registered) {
		return
	}
	r.Detail = strings.Map(printable, r.Detail)
	status.Rejected = &r
	status.Reason += fmt.Sprintf("; its last message was rejected: %s: %s", r.Reason, r.Detail)
}

// printable returns the character, or another one in place of a control character.
func printable(c rune) rune {
	if unicode.IsPrint(c) {
		return c
	}
	return unicode.ReplacementChar
}
