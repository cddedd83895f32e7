package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// lookAtOnce is how many nodes are looked at before others may go on.
	lookAtOnce = 4096
	// mostWork is how many expressions are tried, and values looked into, for a page, full or not.
	mostWork = 1 << 15
)

// Nodes are a page of those nodes. A walk from page to page sees each node that is there
// throughout exactly once.
func (f *Fleet) Nodes(q Query) (Page, error) {
	meets, err := f.selection(q)
	if err != nil {
		return Page{}, err
	}
	if q.Sort == "" || q.Sort == "name" {
		return f.page(meets, q), nil
	}
	order, ok := orders[q.Sort]
	switch {
	case !ok:
		return Page{}, queryError{fmt.Errorf("sort=%s is not valid; valid are %v", q.Sort, Sorts)}
	case q.After != "" || q.Limit == 0:
		return Page{}, queryError{fmt.Errorf("sort=%s returns one page and needs limit; only sort=name can be paged", q.Sort)}
	}
	return f.first(meets, order, q.Limit), nil
}

// page is in the order of names.
func (f *Fleet) page(meets *selection, q Query) Page {
	page := Page{Nodes: []NodeStatus{}}
	last := ""
	f.walk(q.After, func(n *node, r *Rules) bool {
		if meets.work >= mostWork && q.Limit > 0 {
			page.Next = last
			return false
		}
		last = n.name
		if !meets.all(n) {
			return true
		}
		if q.Limit > 0 && len(page.Nodes) == q.Limit {
			page.Next = page.Nodes[q.Limit-1].Name
			return false
		}
		page.Nodes = append(page.Nodes, f.show(n, r))
		return true
	})
	return page
}

// walk goes through the nodes after a name until see has seen enough, and lets others at
// them in between.
func (f *Fleet) walk(after string, see func(n *node, r *Rules) bool) {
	for more := true; more; {
		looked := 0
		more = false
		f.with(func(b *book, _ time.Time) {
			b.byName.Ascend(&node{name: after + "\x00"}, func(n *node) bool { // the next name there can be
				if looked == lookAtOnce {
					more = true
					return false
				}
				looked++
				after = n.name
				return see(n, &b.rules)
			})
		})
	}
}

// order is what nodes are compared by.
type order struct {
	by    func(n *node) time.Time
	first int // -1: the earliest, 1: the latest
}

// ranked is a node as it was when it was looked at.
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

// first are the first so many in an order. Twice as many are kept at most.
func (f *Fleet) first(meets *selection, o order, limit int) Page {
	var best []ranked
	compare := func(a, b ranked) int {
		return cmp.Or(-o.first*a.by.Compare(b.by), strings.Compare(a.node.name, b.node.name))
	}
	var last time.Time // of the best, once there are enough
	f.walk("", func(n *node, _ *Rules) bool {
		by := o.by(n)
		if !last.IsZero() && by.Compare(last) != o.first || !meets.all(n) {
			return true
		}
		if best = append(best, ranked{n, by}); len(best) == 2*limit {
			slices.SortFunc(best, compare)
			best = best[:limit]
			last = best[limit-1].by
		}
		return true
	})
	slices.SortFunc(best, compare)
	page := Page{Nodes: []NodeStatus{}}
	f.with(func(b *book, _ time.Time) {
		for _, r := range best[:min(limit, len(best))] {
			if b.nodes[r.node.name] == r.node && meets.all(r.node) { // others had their turn since it was looked at
				page.Nodes = append(page.Nodes, f.show(r.node, &b.rules))
			}
		}
	})
	return page
}
