package fleet

import (
	"sync"
	"time"
)

// To unpack a registration costs several times what storing it does, and its facts are mostly those of the one
// before. So the index takes at most indexShare of one core, and skips registrations beyond that: those of a
// node whose facts were read within maxFactsAge.
const (
	indexShare  = 10              // percent
	indexBurst  = 2 * time.Second // of processor time that may be saved up
	maxFactsAge = time.Hour
)

// indexBudget is the processor time that the index may take.
type indexBudget struct {
	mu    sync.Mutex
	left  time.Duration // below zero: used up
	added time.Time     // when time was last added
}

// available reports whether time is left.
func (b *indexBudget) available(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch elapsed := now.Sub(b.added); {
	case b.added.IsZero():
		b.left, b.added = indexBurst, now
	case elapsed > 0:
		b.left, b.added = min(b.left+elapsed*indexShare/100, indexBurst), now
	}
	return b.left > 0
}

// spend takes time that was used.
func (b *indexBudget) spend(used time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left -= used
}

// readsFacts reports whether the facts of a registration that was just received are read.
func (f *Fleet) readsFacts(u update) bool {
	if f.index.empty() {
		return false
	}
	if f.budget.available(f.opts.Now()) {
		return true
	}
	skipped := false
	f.withRegistry(func(r *registry, now time.Time) {
		n := r.find(u)
		skipped = n != nil && n.factsRead > 0 && now.Sub(time.Unix(n.factsRead, 0)) < maxFactsAge
	})
	if skipped {
		f.skippedFacts.Add(1)
	}
	return !skipped
}
