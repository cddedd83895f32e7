// Package rejected remembers who was turned away, and why: connections that the broker
// refused, and messages that adapters rejected. Metrics count the reasons; this has the
// names, so that somebody can do something about it.
package rejected

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// mostCases is how many are remembered; whoever has not come for longest is forgotten.
	mostCases = 10_000
	// mostName and mostDetail are how much is remembered of what others have written.
	mostName   = 255
	mostDetail = 512
)

// Entry is one who was turned away, for one reason.
type Entry struct {
	By      string    `json:"by"`      // broker, or an adapter
	Name    string    `json:"name"`    // as given; nobody has proved it
	Address string    `json:"address"` // of connections
	Reason  string    `json:"reason"`  // one word, as in the metrics
	Detail  string    `json:"detail"`  // of the last time
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Count   uint64    `json:"count"`
}

// Table is the cases that are remembered. A nil table remembers nothing.
type Table struct {
	mu        sync.Mutex
	cases     *simplelru.LRU[key, *Entry]
	forgotten uint64
}

type key struct{ by, name, address, reason string }

// New makes an empty table.
func New() *Table {
	t := &Table{}
	t.cases, _ = simplelru.NewLRU(mostCases, func(key, *Entry) { t.forgotten++ }) // only a size below 1 is an error
	return t
}

// Add notes that somebody was turned away once.
func (t *Table) Add(c Entry, now time.Time) {
	if t == nil {
		return
	}
	c.Name, c.Detail = text(c.Name, mostName), text(c.Detail, mostDetail)
	k := key{c.By, c.Name, c.Address, c.Reason}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.cases.Get(k)
	if !ok {
		known = &c
		known.First = now
		t.cases.Add(k, known)
	}
	known.Last, known.Detail = now, c.Detail
	known.Count++
}

// text is the beginning of what somebody has written, for good: the bytes it came in are
// used again.
func text(s string, most int) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), most)]), "�")
}

// Entries are those that are remembered, the latest first, and how many are forgotten.
func (t *Table) Entries() (cases []Entry, forgotten uint64) {
	cases = []Entry{}
	if t == nil {
		return cases, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.cases.Values() {
		cases = append(cases, *c)
	}
	slices.SortStableFunc(cases, func(a, b Entry) int { return b.Last.Compare(a.Last) })
	return cases, t.forgotten
}
