package audit

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// feed adds records to a merger as time passes, and has all that it returned.
type feed struct {
	*merger
	now     time.Time
	records []Record
}

func newFeed() *feed { return &feed{merger: newMerger(), now: start} }

func (f *feed) put(r Record) {
	r.Time, r.Count = f.now, 1
	if f.add(r) {
		f.records = append(f.records, r)
	}
}

// pass lets time pass, and looks for records every second.
func (f *feed) pass(d time.Duration) {
	for end := f.now.Add(d); f.now.Before(end); {
		f.now = f.now.Add(time.Second)
		f.records = append(f.records, f.due(f.now, false)...)
	}
}

func (f *feed) end() { f.records = append(f.records, f.due(f.now, true)...) }

func (f *feed) actions() (sum uint64) {
	for _, r := range f.records {
		sum += r.Count
	}
	return sum
}

func TestMerger_MergesRepeats(t *testing.T) {
	f := newFeed()
	purge := Record{Action: "purge", Identity: "admin", Stream: "S", Purged: 2}
	for range 3 {
		f.put(purge)
	}
	f.put(Record{Action: "purge", Identity: "admin", Stream: "S", Error: "no"})
	f.put(Record{Action: "purge", Identity: "admin", Stream: "T"})
	f.pass(10 * time.Second)
	f.put(purge)
	if len(f.records) != 5 || f.actions() != 6 {
		t.Fatalf("%+v", f.records)
	}
	merged := f.records[3]
	if merged.Count != 2 || merged.Purged != 4 || merged.Since != start || merged.Time != start {
		t.Errorf("merged %+v", merged)
	}
	if last := f.records[4]; last.Count != 1 || !last.Since.IsZero() || last.Purged != 2 {
		t.Errorf("after the window %+v", last)
	}
}

// TestMerger_AFloodMakesFewRecords floods for two hours: with one action, with one action on other streams each
// time, and with other identities each time.
func TestMerger_AFloodMakesFewRecords(t *testing.T) {
	const seconds = 2 * 60 * 60
	for name, test := range map[string]struct {
		limit  int
		record func(i int) Record
	}{
		"one action": {seconds/60 + 20, func(int) Record { return Record{Identity: "ops"} }},
		"other streams": {maxBurst + seconds/10 + 1, func(i int) Record {
			return Record{Identity: "ops", Stream: fmt.Sprint(i), Error: "no such stream"}
		}},
		"a few streams": {maxBurst + seconds/10 + 1, func(i int) Record {
			return Record{Identity: "ops", Stream: fmt.Sprint(i % 300)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeed()
			added := uint64(0)
			for s := range seconds {
				for i := range 3 {
					f.put(test.record(3*s + i))
					added++
				}
				f.pass(time.Second)
			}
			if len(f.records) > test.limit {
				t.Errorf("%d records, more than %d", len(f.records), test.limit)
			}
			if f.end(); f.actions() != added {
				t.Errorf("%d actions in records, %d added", f.actions(), added)
			}
			if len(f.windows) > 2*maxWindows || len(f.budgets) > maxWindows {
				t.Errorf("%d windows, %d budgets", len(f.windows), len(f.budgets))
			}
		})
	}
}

// TestMerger_RefusedActionsHideNothing refuses so many actions that their records are used up.
func TestMerger_RefusedActionsHideNothing(t *testing.T) {
	f := newFeed()
	for i := range 10 * maxBurst {
		f.put(Record{Action: "delete", Identity: "ops", Stream: fmt.Sprint(i), Error: "no such stream"})
	}
	f.put(Record{Action: "delete", Identity: "ops", Stream: "S"})
	if last := f.records[len(f.records)-1]; len(f.records) != maxBurst+1 || last.Stream != "S" {
		t.Errorf("%d records, the last %+v", len(f.records), last)
	}
	f.pass(time.Minute)
	if last := f.records[len(f.records)-1]; last.Stream != "" || last.Identity != "ops" || last.Count < 9*maxBurst {
		t.Errorf("the merged record is %+v", last)
	}
}

// TestMerger_CountsEveryAction adds random actions of more identities than are told apart.
func TestMerger_CountsEveryAction(t *testing.T) {
	f, r, added := newFeed(), rand.New(rand.NewPCG(1, 2)), uint64(0)
	for range 20_000 {
		f.put(Record{
			Action: fmt.Sprint(r.IntN(3)), Identity: fmt.Sprint(r.IntN(5000)), Address: fmt.Sprint(r.IntN(3)),
			Stream: fmt.Sprint(r.IntN(3)),
		})
		if added++; r.IntN(100) == 0 {
			f.pass(time.Duration(r.IntN(30)) * time.Second)
		}
		if len(f.windows) > 2*maxWindows+3 || len(f.budgets) > maxWindows+1 {
			t.Fatalf("%d windows, %d budgets", len(f.windows), len(f.budgets))
		}
	}
	if f.end(); f.actions() != added {
		t.Errorf("%d actions in records, %d added", f.actions(), added)
	}
}
