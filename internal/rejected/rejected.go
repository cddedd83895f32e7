// Package rejected remembers the connections that the broker refused, the messages that the
// adapters rejected, and why; and the publishes and subscriptions that were refused for lack of
// permission. The metrics count them; these tables have the names and addresses, so that an operator
// can find the node or client. They are in memory only.
package rejected

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxEntries is how many entries are kept; a new one beyond that removes the entry updated
	// longest ago.
	maxEntries = 10_000
	// maxName and maxDetail are how many bytes are kept of text that clients control.
	maxName   = 255
	maxDetail = 512
)

// Entry counts the refused connections, or the rejected or dropped messages, of one name at one
// address for one reason.
type Entry struct {
	By      string    `json:"by"`      // "broker", or "adapter" and its name
	Name    string    `json:"name"`    // of the connection, or the sender of the message
	Address string    `json:"address"` // of the connection; empty for messages
	Reason  string    `json:"reason"`  // one word, as in the metrics
	Detail  string    `json:"detail"`  // of the last one
	First   time.Time `json:"first"`   // time of the first one
	Last    time.Time `json:"last"`    // time of the last one
	Count   uint64    `json:"count"`   // of connections or messages

	Verified bool `json:"verified"` // the last one has proven its name; otherwise it is only claimed
}

// Table keeps the entries. A nil Table discards them. It is safe for concurrent use.
type Table struct {
	mu        sync.Mutex
	entries   *simplelru.LRU[key, *Entry]
	messages  map[string]*Entry // the entry of the last rejected message of each name
	discarded uint64            // entries that were removed to make room for others
}

type key struct{ by, name, address, reason string }

// New returns an empty table.
func New() *Table {
	t := &Table{messages: map[string]*Entry{}}
	t.entries, _ = simplelru.NewLRU(maxEntries, t.discard) // fails only for a size below 1
	return t
}

// discard is called for an entry that was removed to make room for another.
func (t *Table) discard(_ key, e *Entry) {
	t.discarded++
	if t.messages[e.Name] == e {
		delete(t.messages, e.Name)
	}
}

// Add counts a refused connection or rejected message, or as many as Count says. It sets First and Last
// itself, and cuts Name and Detail.
func (t *Table) Add(e Entry, now time.Time) {
	if t == nil {
		return
	}
	e.Name, e.Detail = cut(e.Name, maxName), cut(e.Detail, maxDetail)
	k := key{e.By, e.Name, e.Address, e.Reason}
	n := max(e.Count, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.entries.Get(k)
	if !ok {
		known = &e
		known.First, known.Count = now, 0
		t.entries.Add(k, known)
	}
	known.Last, known.Detail, known.Verified = now, e.Detail, e.Verified
	known.Count += n
	if e.Address == "" {
		t.messages[known.Name] = known
	}
}

// cut returns a copy of at most size bytes of a text, as valid UTF-8. It copies because callers
// reuse the buffer behind the text.
func cut(s string, size int) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), size)]), "�")
}

// Entries returns the entries, the latest first, and how many entries were removed to make room for
// others.
func (t *Table) Entries() (entries []Entry, discarded uint64) {
	entries = []Entry{}
	if t == nil {
		return entries, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries.Values() {
		entries = append(entries, *e)
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return b.Last.Compare(a.Last) })
	return entries, t.discarded
}

// LastMessage returns the entry of the last rejected message of a name.
func (t *Table) LastMessage(name string) (e Entry, ok bool) {
	if t == nil {
		return e, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := t.messages[name]; last != nil {
		return *last, true
	}
	return e, false
}
