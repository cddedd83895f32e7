package forward

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// at returns a time that many seconds after the tests' stream was created.
func at(seconds int) time.Time { return time.Unix(1_800_000_000+int64(seconds), 0) }

// forwardedBy returns the source of a message that was forwarded in the current run of a lineage.
func forwardedBy(l lineage, sequence uint64, stored time.Time) source {
	return source{stream: "S", sequence: sequence, site: "ams", incarnation: l.incarnation(), stored: stored}
}

func TestLineage_Precedes(t *testing.T) {
	first := lineage{}.next(at(0), 0)   // stores 1 to 10
	second := first.next(at(0), 10)     // stores 11 to 20
	lost := second.next(at(0), 20)      // stores 21 to 30, and is lost
	restored := second.next(at(0), 20)  // from a backup of the end of second
	again := restored.next(at(0), 40)   // another start after that
	cut := lost.next(at(0), 27)         // a power failure took 28 to 30
	wiped := lineage{}.next(at(500), 0) // an empty directory
	for name, test := range map[string]struct {
		now      lineage
		sequence uint64
		stored   time.Time
		x        source
		want     bool
	}{
		"the message itself":                {first, 5, at(5), forwardedBy(first, 5, at(5)), true},
		"earlier in this run":               {first, 4, at(4), forwardedBy(first, 5, at(5)), true},
		"later in this run":                 {first, 6, at(6), forwardedBy(first, 5, at(5)), false},
		"earlier run":                       {second, 8, at(8), forwardedBy(first, 9, at(9)), true},
		"after what an earlier run stored":  {second, 11, at(11), forwardedBy(first, 9, at(9)), false},
		"restored, before the backup":       {restored, 20, at(20), forwardedBy(lost, 25, at(25)), true},
		"restored, new message":             {restored, 22, at(60), forwardedBy(lost, 25, at(25)), false},
		"restored, new, clock set back":     {restored, 22, at(2), forwardedBy(lost, 25, at(25)), false},
		"restored twice, before the backup": {again, 20, at(20), forwardedBy(lost, 25, at(25)), true},
		"restored twice, new message":       {again, 23, at(60), forwardedBy(lost, 25, at(25)), false},
		"power failure, stored before":      {cut, 26, at(26), forwardedBy(lost, 30, at(30)), true},
		"power failure, sequence used anew": {cut, 29, at(2), forwardedBy(lost, 30, at(30)), false},
		"wiped":                             {wiped, 3, at(503), forwardedBy(lost, 25, at(25)), false},
		"wiped, clock set back":             {wiped, 3, at(3), forwardedBy(lost, 25, at(25)), false},
	} {
		t.Run(name, func(t *testing.T) {
			if test.now.precedes(test.sequence, test.stored, test.x) != test.want {
				t.Errorf("have %v", !test.want)
			}
		})
	}
}

func TestLineage_NextBeginsAnewForAStreamThatWasCreatedAgain(t *testing.T) {
	l := lineage{}.next(at(0), 0)
	if same := l.next(at(0), 5); same.ID != l.ID || same.incarnation() == l.incarnation() {
		t.Errorf("have %s after %s", same.incarnation(), l.incarnation())
	}
	if other := l.next(at(1), 0); other.ID == l.ID || len(other.Runs) != 1 {
		t.Errorf("have %+v", other)
	}
	for range 2 * maxRuns {
		l = l.next(at(0), 0)
	}
	if len(l.Runs) != maxRuns {
		t.Errorf("have %d runs", len(l.Runs))
	}
}

func TestLineages_KeepTheirState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forward", "hub.json")
	l, err := loadLineages(path)
	if err != nil {
		t.Fatal(err)
	}
	kept := lineage{}.next(at(0), 7)
	if err := l.put("S", kept); err != nil {
		t.Fatal(err)
	}
	l, err = loadLineages(path)
	read := l.get("S")
	if err != nil || read.ID != kept.ID || !read.Created.Equal(kept.Created) || !slices.Equal(read.Runs, kept.Runs) {
		t.Errorf("have %+v, %v", read, err)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 {
		t.Errorf("have %v", entries)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err = loadLineages(path); err == nil || l.get("S").ID != "" {
		t.Errorf("a damaged file gives %+v, %v", l.get("S"), err)
	}
}
