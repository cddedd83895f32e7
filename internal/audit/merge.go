package audit

import (
	"slices"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

const (
	// minWindow is how long repeats of an action are merged after a record of it; the time doubles with
	// each record that follows, up to maxWindow.
	minWindow = time.Second
	maxWindow = time.Minute
	// maxWindows is how many different actions, and how many identities, are told apart at the same time.
	maxWindows = 1000
	// An identity has maxBurst records at once and one more every refillTime, once for what was done and
	// once for what was refused. Beyond that its actions are merged whatever stream they are about.
	maxBurst   = 200
	refillTime = 10 * time.Second
)

// key is what makes two actions equal.
type key struct {
	action, identity, address, proof, stream string
	refused                                  bool
}

// window merges the repeats of an action.
type window struct {
	record Record // what is not written yet; Count is 0 if that is nothing
	length time.Duration
	ends   time.Time
}

func (w *window) add(r Record) {
	since, count, purged := w.record.Since, w.record.Count, w.record.Purged
	if count == 0 {
		since = r.Time
	}
	r.Since, r.Count, r.Purged = since, count+r.Count, purged+r.Purged
	w.record = r
}

// budget is how many records an identity may have.
type budget struct {
	left float64
	at   time.Time
}

// budgetKey is whose budget it is.
type budgetKey struct {
	identity string
	refused  bool
}

// merger decides which actions get a record of their own, and merges the others. Every action is in
// exactly one record that it returns. It is not safe for concurrent use.
type merger struct {
	windows map[key]*window
	budgets map[budgetKey]*budget
}

func newMerger() *merger {
	return &merger{windows: map[key]*window{}, budgets: map[budgetKey]*budget{}}
}

// add merges a record, or returns true: the caller must write it now.
func (m *merger) add(r Record) bool {
	k := key{r.Action, r.Identity, r.Address, r.Proof, r.Stream, r.Error != ""}
	if w := m.windows[k]; w != nil {
		w.add(r)
		return false
	}
	if len(m.windows) < maxWindows && m.spend(r) {
		m.windows[k] = &window{length: minWindow, ends: r.Time.Add(minWindow)}
		return true
	}
	k.address, k.proof, k.stream = "", "", ""
	r.Stream, r.Config, r.Filter, r.Sequence, r.Keep = "", nil, "", 0, 0
	if m.windows[k] == nil && len(m.windows) >= 2*maxWindows {
		k.identity, r.Identity, r.Address, r.Connection, r.Name = "", contract.AuditSeveral, "", 0, ""
	}
	if m.windows[k] == nil {
		m.windows[k] = &window{length: maxWindow, ends: r.Time.Add(minWindow)}
	}
	m.windows[k].add(r)
	return false
}

// due returns the merged records whose time has come, or all of them, sorted by time.
func (m *merger) due(now time.Time, all bool) (records []Record) {
	for k, w := range m.windows {
		switch {
		case !all && now.Before(w.ends):
		case w.record.Count == 0:
			delete(m.windows, k)
		case all || m.spend(Record{Time: now, Identity: w.record.Identity, Error: w.record.Error}):
			if w.record.Count == 1 {
				w.record.Since = time.Time{}
			}
			records = append(records, w.record)
			w.record, w.length = Record{}, min(2*w.length, maxWindow)
			w.ends = now.Add(w.length)
		}
	}
	for k, b := range m.budgets {
		if b.refill(now); b.left == maxBurst {
			delete(m.budgets, k)
		}
	}
	slices.SortStableFunc(records, func(a, b Record) int { return a.Time.Compare(b.Time) })
	return records
}

// spend takes a record from the budget of its identity, and reports whether there was one left.
func (m *merger) spend(r Record) bool {
	k := budgetKey{r.Identity, r.Error != ""}
	if m.budgets[k] == nil && len(m.budgets) >= maxWindows {
		k.identity = contract.AuditSeveral
	}
	b := m.budgets[k]
	if b == nil {
		b = &budget{left: maxBurst, at: r.Time}
		m.budgets[k] = b
	}
	b.refill(r.Time)
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

func (b *budget) refill(now time.Time) {
	if since := now.Sub(b.at); since > 0 {
		b.left, b.at = min(maxBurst, b.left+since.Seconds()/refillTime.Seconds()), now
	}
}
