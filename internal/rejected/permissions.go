package rejected

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Kinds of refused permissions.
const (
	Publish   = "publish"
	Subscribe = "subscribe"
	Reply     = "reply" // a publish with a reply subject that only the server uses
)

const (
	// maxPermissions is how many refused permissions are kept; a new one beyond that removes the one
	// updated longest ago.
	maxPermissions = 10_000
	// maxSubjects is how many subjects of one identity are told apart.
	maxSubjects = 50
)

// OtherSubjects is the subject of what one identity was refused beyond maxSubjects.
const OtherSubjects = "(other subjects)"

// Permission counts the publishes or subscriptions of one identity on one subject that were refused
// because the identity has no permission for them.
type Permission struct {
	Identity  string    `json:"identity"`   // that the connection has proven; empty: none
	Role      string    `json:"role"`       // of the connection: node, client or admin
	Kind      string    `json:"kind"`       // publish, subscribe or reply
	Subject   string    `json:"subject"`    // with wildcards in place of random tokens, or OtherSubjects
	AllowedBy string    `json:"allowed_by"` // what would allow it, for people; empty for OtherSubjects
	Address   string    `json:"address"`    // of the last connection
	First     time.Time `json:"first"`      // time of the first one
	Last      time.Time `json:"last"`       // time of the last one
	Count     uint64    `json:"count"`
}

// Permissions keeps refused permissions, in memory only. It is safe for concurrent use.
type Permissions struct {
	mu        sync.Mutex
	entries   *simplelru.LRU[permissionKey, *Permission]
	subjects  map[string]int // number of entries, by identity, without those of OtherSubjects
	discarded uint64         // entries that were removed to make room for others
}

type permissionKey struct{ identity, role, kind, subject string }

// NewPermissions returns an empty table.
func NewPermissions() *Permissions {
	t := &Permissions{subjects: map[string]int{}}
	t.entries, _ = simplelru.NewLRU(maxPermissions, t.removed) // fails only for a size below 1
	return t
}

// removed is called for each entry that makes room for another one.
func (t *Permissions) removed(k permissionKey, _ *Permission) {
	t.discarded++
	if k.subject == OtherSubjects {
		return
	}
	if t.subjects[k.identity]--; t.subjects[k.identity] == 0 {
		delete(t.subjects, k.identity)
	}
}

// Add counts a refused permission. It sets the times, the count and AllowedBy itself; allowedBy is called
// for a new entry, with the mutex held. Add returns AllowedBy.
func (t *Permissions) Add(p Permission, now time.Time, allowedBy func(Permission) string) string {
	k := permissionKey{p.Identity, p.Role, p.Kind, p.Subject}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.entries.Get(k)
	if !ok && t.subjects[p.Identity] >= maxSubjects {
		k.subject = OtherSubjects
		known, ok = t.entries.Get(k)
	}
	if !ok {
		p.First, p.Count, p.Subject = now, 0, k.subject
		if k.subject != OtherSubjects {
			p.AllowedBy = allowedBy(p)
			t.subjects[p.Identity]++
		}
		known = &p
		t.entries.Add(k, known)
	}
	known.Last, known.Address = now, p.Address
	known.Count++
	return known.AllowedBy
}

// Entries returns the refused permissions by identity, role, kind and subject, and how many were removed
// to make room for others.
func (t *Permissions) Entries() (entries []Permission, discarded uint64) {
	t.mu.Lock()
	entries = make([]Permission, 0, t.entries.Len())
	for _, p := range t.entries.Values() {
		entries = append(entries, *p)
	}
	discarded = t.discarded
	t.mu.Unlock()
	slices.SortFunc(entries, func(a, b Permission) int {
		return cmp.Or(cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.Role, b.Role),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject))
	})
	return entries, discarded
}
