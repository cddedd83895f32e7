package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// maxPerLock is how many nodes are visited before the registry is unlocked for others.
	maxPerLock = 4096
	// maxWork is how much work a page may take, see selection.work; the page ends there, full
	// or not.
	maxWork = 1 << 15
)

// Nodes returns a page of the nodes that match the query. A client that follows Page.Next
// until it is empty sees each node exactly once if the node is in the view the whole time. An error
// in the query wraps ErrQuery.
func (f *Fleet) Nodes(q Query) (Page, error) {
	selected, err := f.selection(q)
	if err != nil {
		return Page{}, err
	}
	if q.Sort == "" || q.Sort == "name" {
		return f.pageByName(selected, q), nil
	}
	order, ok := orders[q.Sort]
	switch {
	case !ok:
		return Page{}, queryError{fmt.Errorf("sort=%s is not valid; valid are %v", q.Sort, Sorts)}
	case q.After != "" || q.Limit == 0:
		return Page{}, queryError{
			fmt.Errorf("sort=%s returns one page and needs limit; only sort=name can be paged", q.Sort),
		}
	}
	return f.firstPage(selected, order, q.Limit), nil
}

// pageByName returns a page in the order of names.
func (f *Fleet) pageByName(selected *selection, q Query) Page {
	page := Page{Nodes: []NodeStatus{}}
	var last, lastFound *node // that were visited, and that are in the page
	f.walk(q.After, func(n *node, r *Rules) bool {
		if selected.work >= maxWork && q.Limit > 0 {
			page.Next = cursorBefore(last, n)
			return false
		}
		last = n
		if !selected.matches(n) {
			return true
		}
		if q.Limit > 0 && len(page.Nodes) == q.Limit {
			page.Next = cursorBefore(lastFound, n)
			return false
		}
		lastFound = n
		page.Nodes = append(page.Nodes, f.status(n, r))
		return true
	})
	return page
}

// cursorBefore returns a position after a node and before another one: the name, if all nodes of that name are
// before it, otherwise the name, "/", and the key of the node. Names of nodes and sites have no "/".
func cursorBefore(n, other *node) string {
	if n.name != other.name {
		return n.name
	}
	return n.name + "/" + n.key()
}

// nextPossible returns the first node that can follow a position.
func nextPossible(after string) *node {
	name, key, found := strings.Cut(after, "/")
	if !found {
		return &node{name: name + "\x00"}
	}
	return &node{name: name, site: key + "\x00", remote: &forwarded{}}
}

// walk visits the nodes that follow a position, in the order of names and sites, until visit returns
// false. The registry is locked during visit, and unlocked after every maxPerLock nodes.
func (f *Fleet) walk(after string, visit func(n *node, r *Rules) bool) {
	next := nextPossible(after)
	for more := true; more; {
		visited := 0
		more = false
		f.withRegistry(func(r *registry, _ time.Time) {
			r.byName.Ascend(next, func(n *node) bool {
				if visited == maxPerLock {
					next, more = n, true
					return false
				}
				visited++
				return visit(n, &r.rules)
			})
		})
	}
}

// order is an order of nodes by a time.
type order struct {
	by        func(n *node) time.Time
	direction int // -1: the earliest first, 1: the latest first
}

// ranked is a node with the time by which it was compared.
type ranked struct {
	node *node
	by   time.Time
}

var orders = map[Sort]order{
	"received":  {func(n *node) time.Time { return n.Received }, -1},
	"since":     {func(n *node) time.Time { return n.since }, -1},
	"-received": {func(n *node) time.Time { return n.Received }, 1},
	"-since":    {func(n *node) time.Time { return n.since }, 1},
}

// firstPage returns the first nodes in an order. It keeps at most twice the limit in memory.
func (f *Fleet) firstPage(selected *selection, o order, limit int) Page {
	var best []ranked
	compare := func(a, b ranked) int {
		return cmp.Or(-o.direction*a.by.Compare(b.by), strings.Compare(a.node.name, b.node.name),
			strings.Compare(a.node.key(), b.node.key()))
	}
	var worst time.Time // time of the last kept node, once limit nodes are kept; zero before
	f.walk("", func(n *node, _ *Rules) bool {
		by := o.by(n)
		if !worst.IsZero() && by.Compare(worst) != o.direction || !selected.matches(n) {
			return true
		}
		if best = append(best, ranked{n, by}); len(best) == 2*limit {
			slices.SortFunc(best, compare)
			best = best[:limit]
			worst = best[limit-1].by
		}
		return true
	})
	slices.SortFunc(best, compare)
	page := Page{Nodes: []NodeStatus{}}
	f.withRegistry(func(r *registry, _ time.Time) {
		for _, b := range best[:min(limit, len(best))] {
			// The registry was unlocked since: the node may be gone, or match no longer.
			if r.has(b.node) && selected.matches(b.node) {
				page.Nodes = append(page.Nodes, f.status(b.node, &r.rules))
			}
		}
	})
	return page
}
