package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/choria"
)

// Query selects nodes that meet all its conditions, and a page of them. An empty field is no
// condition.
type Query struct {
	States     []State             // any of them; none: all but Provisioning
	Sites      []string            // any of them
	Text       string              // part of the name
	Identities []string            // any of them: a name or a /regular expression/, as in Choria's filters
	Where      []choria.FactFilter // all of them
	Classes    []string            // all of them, as in Choria's filters
	Agents     []string            // all of them, as in Choria's filters

	// Collectives are names; a node must be in one of them. A node whose collectives are not known counts
	// as a member of each: only inventories have them.
	Collectives []string

	Sort  Sort
	After string // a name, or Page.Next: only nodes that follow; only with Sort "name" or empty
	Limit int    // at most this many nodes; 0: all
}

// Page is a page of nodes. It may have fewer nodes than the limit, even none, and still be
// followed by another one.
type Page struct {
	Nodes []NodeStatus `json:"nodes"`
	Next  string       `json:"next,omitempty"` // Query.After of the next page; empty: this is the last
}

// Sort is an order of nodes by a field; with a minus before it, descending.
type Sort string

// Sorts are the valid orders; "received" is by NodeStatus.Registered. Only "name" can be paged: in
// the others a node that changes between two pages would be missed or returned twice.
var Sorts = []Sort{"name", "received", "since", "-received", "-since"}

// ErrQuery is returned for a query that is not valid. The text of the error says why.
var ErrQuery = errors.New("invalid query")

type queryError struct{ error }

func (queryError) Is(target error) bool { return target == ErrQuery }

// selection has the conditions of a query. It is used for one query by one goroutine.
type selection struct {
	conditions []func(n *node) bool
	work       int // regular expressions matched and indexed values compared so far
}

func (s *selection) require(condition func(n *node) bool) {
	s.conditions = append(s.conditions, condition)
}

// matches reports whether a node meets all conditions.
func (s *selection) matches(n *node) bool {
	for _, meets := range s.conditions {
		if !meets(n) {
			return false
		}
	}
	return true
}

// selection compiles the conditions of a query.
func (f *Fleet) selection(q Query) (*selection, error) {
	s := &selection{}
	if len(q.States) > 0 {
		s.require(func(n *node) bool { return slices.Contains(q.States, n.announced) })
	} else {
		s.require(func(n *node) bool { return n.announced != Provisioning })
	}
	if len(q.Sites) > 0 {
		s.require(func(n *node) bool { return slices.Contains(q.Sites, n.site) })
	}
	if q.Text != "" {
		s.require(func(n *node) bool { return strings.Contains(n.name, q.Text) })
	}
	if len(q.Collectives) > 0 {
		s.requireCollective(q.Collectives)
	}
	if err := errors.Join(f.requireRegistered(q, s), s.requireNames(q.Identities)); err != nil {
		return nil, queryError{err}
	}
	return s, nil
}

// requireNames adds the condition that the name is one of the identities, or matches one of the
// regular expressions among them.
func (s *selection) requireNames(identities []string) error {
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
	s.require(func(n *node) bool {
		return names[n.name] || slices.ContainsFunc(expressions, func(match func(string) bool) bool {
			s.work++
			return match(n.name)
		})
	})
	return nil
}

// requireRegistered adds the conditions on facts, classes and agents.
func (f *Fleet) requireRegistered(q Query, s *selection) error {
	if f.index.empty() && len(q.Where)+len(q.Classes)+len(q.Agents) > 0 {
		return errors.New("facts, classes and agents are not indexed; list facts in fleet.index")
	}
	for _, where := range q.Where {
		position, ok := f.index.position(where.Fact)
		if !ok {
			return fmt.Errorf("the fact %q is not indexed; fleet.index lists %s", where.Fact,
				strings.Join(f.index.paths, ", "))
		}
		match, err := where.Matcher()
		if err != nil {
			return err
		}
		s.requireIndexed(
			func(facts *indexedFacts) interned { return facts.values[position] },
			func(value interned) bool { return match(value.Value()) })
	}
	classes := func(facts *indexedFacts) interned { return facts.classes }
	agents := func(facts *indexedFacts) interned { return facts.agents }
	return errors.Join(s.requireMembers(q.Classes, classes), s.requireMembers(q.Agents, agents))
}

// requireMembers adds the condition that each filter matches one of the names in a list.
func (s *selection) requireMembers(filters []string, list func(*indexedFacts) interned) error {
	for _, filter := range filters {
		match, err := choria.MemberMatcher(filter)
		if err != nil {
			return err
		}
		s.requireIndexed(list, func(names interned) bool { return match(splitLines(names)) })
	}
	return nil
}

// requireCollective adds the condition that the node is in one of the collectives, or that its collectives
// are not known.
func (s *selection) requireCollective(collectives []string) {
	match := s.once(func(names interned) bool {
		return names.Value() == "" || slices.ContainsFunc(splitLines(names), func(name string) bool {
			return slices.Contains(collectives, name)
		})
	})
	s.require(func(n *node) bool { return n.facts == nil || match(n.facts.collectives) })
}

// requireIndexed adds a condition on an indexed value.
func (s *selection) requireIndexed(value func(*indexedFacts) interned, match func(interned) bool) {
	match = s.once(match)
	s.require(func(n *node) bool { return n.facts != nil && match(value(n.facts)) })
}

// once returns a function that calls match once for each value. Usually there are far fewer different
// values than nodes.
func (s *selection) once(match func(interned) bool) func(interned) bool {
	results := map[interned]bool{}
	return func(value interned) bool {
		result, ok := results[value]
		if !ok {
			s.work++
			result = match(value)
			results[value] = result
		}
		return result
	}
}
