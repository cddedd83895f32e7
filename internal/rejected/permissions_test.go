package rejected

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// adviseOnce returns AllowedBy for new entries, and counts the calls.
func adviseOnce(calls *int) func(Permission) string {
	return func(p Permission) string {
		*calls++
		return "role for " + p.Subject
	}
}

func TestPermissions_AddCountsRepeats(t *testing.T) {
	table, start, calls := NewPermissions(), time.Unix(1000, 0), 0
	p := Permission{Identity: "web1", Role: "node", Kind: Publish, Subject: "a.b", Address: "192.0.2.1"}
	for i := range 3 {
		p.Address = fmt.Sprint("192.0.2.", i)
		if have := table.Add(p, start.Add(time.Duration(i)*time.Second), adviseOnce(&calls)); have != "role for a.b" {
			t.Errorf("allowed by %s", have)
		}
	}
	p.Kind = Subscribe
	table.Add(p, start, adviseOnce(&calls))
	p.Identity = "db1"
	table.Add(p, start, adviseOnce(&calls))
	entries, discarded := table.Entries()
	want := Permission{
		"web1", "node", Publish, "a.b", "role for a.b", "192.0.2.2", start, start.Add(2 * time.Second), 3,
	}
	if len(entries) != 3 || discarded != 0 || calls != 3 || entries[0].Identity != "db1" || entries[1] != want {
		t.Errorf("%d calls, %d discarded: %+v", calls, discarded, entries)
	}
}

func TestPermissions_LimitsSubjectsOfAnIdentity(t *testing.T) {
	table, calls := NewPermissions(), 0
	add := func(identity string, i int) {
		p := Permission{Identity: identity, Role: "node", Kind: Publish, Subject: fmt.Sprint("x.", i)}
		table.Add(p, time.Unix(int64(i), 0), adviseOnce(&calls))
	}
	add("web1", 0)
	for i := range 1000 {
		add("hostile", i)
	}
	add("hostile", 7) // known, so it is told apart still
	entries, discarded := table.Entries()
	if len(entries) != maxSubjects+2 || discarded != 0 || calls != maxSubjects+1 {
		t.Fatalf("%d entries, %d discarded, %d calls", len(entries), discarded, calls)
	}
	if e := entries[0]; e.Subject != OtherSubjects || e.Count != 1000-maxSubjects || e.AllowedBy != "" {
		t.Errorf("%+v", e)
	}
	for _, e := range entries {
		if e.Subject == "x.7" && e.Count != 2 {
			t.Errorf("%+v", e)
		}
	}
}

func TestPermissions_ForgetsLeastRecent(t *testing.T) {
	table := NewPermissions()
	advise := func(Permission) string { return "" }
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range maxPermissions {
				identity := fmt.Sprint(worker, ".", i/maxSubjects)
				table.Add(Permission{Identity: identity, Subject: fmt.Sprint(i)}, time.Unix(0, 0), advise)
				table.Add(Permission{Identity: "always"}, time.Unix(0, 0), advise)
			}
		})
	}
	wg.Wait()
	entries, discarded := table.Entries()
	if len(entries) != maxPermissions || discarded != 4*maxPermissions+1-maxPermissions {
		t.Errorf("%d entries, %d discarded", len(entries), discarded)
	}
	subjects := 0
	for _, n := range table.subjects {
		subjects += n
	}
	if subjects != maxPermissions || len(table.subjects) > maxPermissions {
		t.Errorf("%d subjects of %d identities are counted", subjects, len(table.subjects))
	}
	for _, e := range entries {
		if e.Identity == "always" && e.Count == 4*maxPermissions {
			return
		}
	}
	t.Error("an entry that is added to all the time is discarded")
}
