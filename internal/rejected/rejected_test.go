package rejected

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTable_AddCountsRepeats(t *testing.T) {
	table, start := New(), time.Unix(1000, 0)
	expired := Entry{By: "broker", Name: "web1", Address: "192.0.2.1", Reason: "expired"}
	for i := range 3 {
		expired.Detail = fmt.Sprint("time ", i)
		table.Add(expired, start.Add(time.Duration(i)*time.Second))
	}
	untrusted := Entry{By: "broker", Name: "web1", Address: "192.0.2.1", Reason: "untrusted"}
	table.Add(untrusted, start.Add(time.Hour))
	table.Add(Entry{By: "registration", Name: "web1", Reason: "expired"}, start)
	entries, discarded := table.Entries()
	if len(entries) != 3 || discarded != 0 || entries[0].Reason != "untrusted" || entries[2].By != "registration" {
		t.Fatalf("%+v", entries)
	}
	want := Entry{"broker", "web1", "192.0.2.1", "expired", "time 2", start, start.Add(2 * time.Second), 3, false}
	if entries[1] != want {
		t.Errorf("%+v", entries[1])
	}
}

func TestTable_ForgetsLeastRecentEntry(t *testing.T) {
	table := New()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range maxEntries {
				table.Add(Entry{Name: fmt.Sprintf("%d.%d", worker, i)}, time.Unix(int64(i), 0))
				table.Add(Entry{Name: "always"}, time.Unix(int64(i), 0))
			}
		})
	}
	wg.Wait()
	entries, discarded := table.Entries()
	if len(entries) != maxEntries || discarded != 4*maxEntries+1-maxEntries {
		t.Errorf("%d entries, %d discarded", len(entries), discarded)
	}
	for _, e := range entries {
		if e.Name == "always" && e.Count == 4*maxEntries {
			return
		}
	}
	t.Error("an entry that is added to all the time is discarded")
}

func TestTable_CutsText(t *testing.T) {
	table := New()
	table.Add(Entry{Name: strings.Repeat("x", 1<<20), Detail: "\xff" + strings.Repeat("y", 1<<20)}, time.Unix(0, 0))
	entries, _ := table.Entries()
	e := entries[0]
	if len(e.Name) != maxName || len(e.Detail) > maxDetail+2 || !strings.HasPrefix(e.Detail, "�y") {
		t.Errorf("%d and %d bytes", len(e.Name), len(e.Detail))
	}
}

func TestTable_NilDiscards(t *testing.T) {
	var table *Table
	table.Add(Entry{}, time.Unix(0, 0))
	if entries, _ := table.Entries(); entries == nil || len(entries) > 0 {
		t.Errorf("%v", entries)
	}
}

func TestTable_LastMessageIsTheLatestOfItsName(t *testing.T) {
	table, now := New(), time.Unix(1_000_000, 0)
	add := func(name, address, reason string) {
		now = now.Add(time.Second)
		table.Add(Entry{By: "x", Name: name, Address: address, Reason: reason}, now)
	}
	add("web1", "", "stale")
	add("web1", "", "unsigned")
	add("web1", "", "stale")
	last := now
	add("web1", "10.0.0.1", "expired") // a connection
	add("web2", "", "limit")
	if e, ok := table.LastMessage("web1"); !ok || e.Reason != "stale" || !e.Last.Equal(last) || e.Count != 2 {
		t.Errorf("have %+v, %t", e, ok)
	}
	if _, ok := table.LastMessage("web3"); ok {
		t.Error("a name without an entry has one")
	}
	for i := range maxEntries {
		add(fmt.Sprint("other", i), "", "limit")
	}
	if e, ok := table.LastMessage("web1"); ok || len(table.messages) != maxEntries {
		t.Errorf("discarded, but still there: %+v; %d names", e, len(table.messages))
	}
}
