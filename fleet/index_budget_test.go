package fleet

import (
	"testing"
	"time"
)

func TestIndexBudget(t *testing.T) {
	var b indexBudget
	now := time.Unix(1_700_000_000, 0)
	if !b.available(now) {
		t.Fatal("nothing is left at first")
	}
	b.spend(indexBurst + time.Second)
	if b.available(now) || b.available(now.Add(-time.Hour)) {
		t.Error("time is left after more than all was used")
	}
	if now = now.Add(9 * time.Second); b.available(now) { // a tenth of that is added
		t.Error("time is left too early")
	}
	if now = now.Add(2 * time.Second); !b.available(now) {
		t.Error("no time is left once enough has passed")
	}
	b.available(now.Add(time.Hour))
	b.spend(indexBurst)
	if b.available(now.Add(time.Hour)) {
		t.Error("more was saved up than the burst")
	}
}

// Once the budget is used up, the facts of a node are read again only after maxFactsAge, and those of a new node at
// once.
func TestFleet_ReadsFactsWithinItsBudget(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := New(DefaultConfig(), Options{
		Now: func() time.Time { return now }, Clock: func() (time.Time, time.Duration) { return now, 0 },
	})
	f.registry = newRegistry(f.rules(f.cfg, now), "lab", 20, func(*Event) {})
	register := func(node string) bool {
		read := f.readsFacts(update{name: node})
		f.withRegistry(func(r *registry, now time.Time) {
			r.registered(update{name: node, site: "lab", received: now, factsRead: read}, now)
		})
		now = now.Add(time.Second)
		return read
	}
	for range 2 {
		if !register("web1") {
			t.Error("skipped although time is left")
		}
	}
	f.budget.spend(time.Hour)
	if register("web1") || !register("web2") || register("web2") {
		t.Error("a node whose facts are known is read, or a new one is not")
	}
	if f.skippedFacts.Load() != 2 {
		t.Errorf("%d are counted as skipped", f.skippedFacts.Load())
	}
	now = now.Add(maxFactsAge)
	if !register("web1") {
		t.Error("old facts are kept")
	}
}
