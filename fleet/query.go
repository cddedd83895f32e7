package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
)

// Query selects nodes, and is a page of them. What is empty selects all.
type Query struct {
	States     []State // one of them
	Sites      []string
	Text       string   // in the name
	Identities []string // one of them, as Choria's filters are: a name, or a /regular expression/
	Where      []choria.FactFilter
	Classes    []string // all of them, as Choria's filters are
	Agents     []string

	Sort  Sort
	After string // names that follow this one; only in the order of names
	Limit int    // at most so many; 0: all
}

// Page is some of the nodes that were asked for. It may have fewer than the limit, or none,
// and one that follows.
type Page struct {
	Nodes []NodeStatus `json:"nodes"`
	Next  string       `json:"next,omitempty"` // Query.After of the page that follows; empty: this is the last
}

// Sort is an order of nodes; with a minus before it, the other way round.
type Sort string

// Sorts are the orders there are. Of the latter ones there is the first page only: a node
// that changes during a walk would be missed by it, or be seen twice.
var Sorts = []Sort{"name", "received", "since", "-received", "-since"}

// ErrQuery is that something cannot be asked; what stands in the error's own words.
var ErrQuery = errors.New("invalid query")

type queryError struct{ error }

func (queryError) Is(target error) bool { return target == ErrQuery }

// selection are the conditions of a query, all of which a node must meet.
type selection struct {
	conditions []func(n *node) bool
	work       int // expressions tried, and values looked into
}

func (s *selection) want(condition func(n *node) bool) {
	s.conditions = append(s.conditions, condition)
}

func (s *selection) all(n *node) bool {
	for _, meets := range s.conditions {
		if !meets(n) {
			return false
		}
	}
	return true
}

func (f *Fleet) selection(q Query) (*selection, error) {
	s := &selection{}
	if len(q.States) > 0 {
		s.want(func(n *node) bool { return slices.Contains(q.States, n.state) })
	}
	if len(q.Sites) > 0 {
		s.want(func(n *node) bool { return slices.Contains(q.Sites, n.site) })
	}
	if q.Text != "" {
		s.want(func(n *node) bool { return strings.Contains(n.name, q.Text) })
	}
	if err := errors.Join(f.within(q, s), s.named(q.Identities)); err != nil {
		return nil, queryError{err}
	}
	return s, nil
}

// named wants one of those names, or a name that one of the expressions matches.
func (s *selection) named(identities []string) error {
	if len(identities) == 0 {
		return nil
	}
	names := map[string]bool{}
	var expressions []func(string) bool
	for _, filter := range identities {
		match, err := choria.NameMatcher(filter)
		switch {
		case err != nil:
			return err
		case choria.IsRegexp(filter):
			expressions = append(expressions, match)
		default:
			names[filter] = true
		}
	}
	s.want(func(n *node) bool {
		return names[n.name] || slices.ContainsFunc(expressions, func(match func(string) bool) bool { s.work++; return match(n.name) })
	})
	return nil
}

// within adds the conditions on what nodes have registered.
func (f *Fleet) within(q Query, s *selection) error {
	if f.index.empty() && len(q.Where)+len(q.Classes)+len(q.Agents) > 0 {
		return errors.New("facts, classes and agents are not indexed; list facts in fleet.index")
	}
	for _, where := range q.Where {
		at, ok := f.index.at(where.Fact)
		if !ok {
			return fmt.Errorf("the fact %q is not indexed; fleet.index lists %s", where.Fact, strings.Join(f.index.names, ", "))
		}
		match, err := where.Matcher()
		if err != nil {
			return err
		}
		s.wantKept(func(w word) bool { return match(w.Value()) }, func(i *inside) word { return i.facts[at] })
	}
	for _, members := range []struct {
		filters []string
		of      func(*inside) word
	}{
		{q.Classes, func(i *inside) word { return i.classes }},
		{q.Agents, func(i *inside) word { return i.agents }},
	} {
		for _, filter := range members.filters {
			match, err := choria.MemberMatcher(filter)
			if err != nil {
				return err
			}
			s.wantKept(func(w word) bool { return match(list(w)) }, members.of)
		}
	}
	return nil
}

// wantKept adds a condition on a word, of which there are mostly far fewer than nodes: each is
// looked at once.
func (s *selection) wantKept(match func(word) bool, of func(*inside) word) {
	known := map[word]bool{}
	s.want(func(n *node) bool {
		if n.inside == nil {
			return false
		}
		w := of(n.inside)
		meets, ok := known[w]
		if !ok {
			s.work++
			meets = match(w)
			known[w] = meets
		}
		return meets
	})
}
