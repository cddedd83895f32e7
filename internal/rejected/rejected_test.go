package rejected

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWhoComesAgainIsOneCase(t *testing.T) {
	table, start := New(), time.Unix(1000, 0)
	for i := range 3 {
		table.Add(Entry{By: "broker", Name: "web1", Address: "192.0.2.1", Reason: "expired", Detail: fmt.Sprint("time ", i)}, start.Add(time.Duration(i)*time.Second))
	}
	table.Add(Entry{By: "broker", Name: "web1", Address: "192.0.2.1", Reason: "untrusted"}, start.Add(time.Hour))
	table.Add(Entry{By: "registration", Name: "web1", Reason: "expired"}, start)
	cases, forgotten := table.Entries()
	if len(cases) != 3 || forgotten != 0 || cases[0].Reason != "untrusted" || cases[2].By != "registration" {
		t.Fatalf("%+v", cases)
	}
	want := Entry{"broker", "web1", "192.0.2.1", "expired", "time 2", start, start.Add(2 * time.Second), 3}
	if cases[1] != want {
		t.Errorf("%+v", cases[1])
	}
}

func TestTheTableHasABoundAndForgetsTheOldest(t *testing.T) {
	table := New()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range mostCases {
				table.Add(Entry{Name: fmt.Sprintf("%d.%d", worker, i)}, time.Unix(int64(i), 0))
				table.Add(Entry{Name: "always"}, time.Unix(int64(i), 0))
			}
		})
	}
	wg.Wait()
	cases, forgotten := table.Entries()
	if len(cases) != mostCases || forgotten != 4*mostCases+1-mostCases {
		t.Errorf("%d cases, %d forgotten", len(cases), forgotten)
	}
	for _, c := range cases {
		if c.Name == "always" && c.Count == 4*mostCases {
			return
		}
	}
	t.Error("who comes all the time is forgotten")
}

func TestWhatOthersHaveWrittenIsCut(t *testing.T) {
	table := New()
	table.Add(Entry{Name: strings.Repeat("x", 1<<20), Detail: "\xff" + strings.Repeat("y", 1<<20)}, time.Unix(0, 0))
	cases, _ := table.Entries()
	if len(cases[0].Name) != mostName || len(cases[0].Detail) > mostDetail+2 || !strings.HasPrefix(cases[0].Detail, "�y") {
		t.Errorf("%d and %d bytes", len(cases[0].Name), len(cases[0].Detail))
	}
	var none *Table
	none.Add(Entry{}, time.Unix(0, 0))
	if cases, _ := none.Entries(); cases == nil || len(cases) > 0 {
		t.Errorf("%v", cases)
	}
}
