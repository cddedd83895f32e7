package appliance

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/integrity"
)

// TestRecorder_ExpectsChangesUntilTheyAreAnswered reads the streams at every moment around a request that
// removes messages, and compares every record with the stream as it is afterwards.
func TestRecorder_ExpectsChangesUntilTheyAreAnswered(t *testing.T) {
	full := integrity.Stream{Name: "S", Created: time.Unix(1, 0), First: 1, Last: 10, Messages: 10, Bytes: 1000}
	purged := full
	purged.First, purged.Messages, purged.Bytes = 11, 0, 0
	created := integrity.Stream{Name: "S", Created: time.Unix(2, 0), First: 1}
	for name, test := range map[string]struct {
		operation     string
		answer        string // empty: none
		after         []integrity.Stream
		before, later bool // a loss is found before the answer, and after it
	}{
		"purge":             {"STREAM.PURGE.S", `{"success":true,"purged":10}`, []integrity.Stream{purged}, false, false},
		"purge unanswered":  {"STREAM.PURGE.S", "", []integrity.Stream{purged}, false, false},
		"purge of a few":    {"STREAM.PURGE.S", `{"success":true,"purged":9}`, []integrity.Stream{purged}, false, true},
		"refused purge":     {"STREAM.PURGE.S", `{"error":{"code":500}}`, []integrity.Stream{purged}, false, true},
		"delete a message":  {"STREAM.MSG.DELETE.S", `{"success":true}`, []integrity.Stream{purged}, false, true},
		"delete":            {"STREAM.DELETE.S", `{"success":true}`, nil, false, false},
		"delete, create":    {"STREAM.DELETE.S", `{"success":true}`, []integrity.Stream{created}, false, false},
		"delete unanswered": {"STREAM.DELETE.S", "", nil, false, false},
		"refused delete":    {"STREAM.DELETE.S", `{"error":{"code":500}}`, []integrity.Stream{purged}, false, true},
		"restore":           {"STREAM.RESTORE.S", `{}`, []integrity.Stream{purged}, false, false},
		"of another":        {"STREAM.PURGE.T", `{"success":true,"purged":10}`, []integrity.Stream{purged}, true, true},
		"removes nothing":   {"STREAM.INFO.S", `{}`, []integrity.Stream{purged}, true, true},
		"without a stream":  {"CONSUMER", `{}`, []integrity.Stream{purged}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(100, 0)
			have := []integrity.Stream{full}
			r := newRecorder(filepath.Join(t.TempDir(), "streams.json"), 0, hclog.NewNullLogger())
			r.streams = func() ([]integrity.Stream, bool) { return have, true }
			r.gaps = func(string) (integrity.Ranges, error) { return nil, nil }
			lost := 0
			ticks := func() {
				for range 4 {
					now = now.Add(time.Second)
					r.tick(now)
				}
				// What the next start would find.
				record, err := integrity.Load(r.path)
				if err != nil {
					t.Fatal(err)
				}
				lost = len(r.findings()) + len(record.Compare(test.after, now))
			}
			if err := integrity.New().Save(r.path); err != nil { // without a record there is a finding
				t.Fatal(err)
			}
			r.load(now)
			r.storeOpened()
			r.start(now)
			ticks()
			done := r.changing(test.operation)
			ticks()
			have = test.after
			ticks()
			if (lost > 0) != test.before {
				t.Errorf("before the answer: %d findings", lost)
			}
			done([]byte(test.answer))
			ticks()
			if (lost > 0) != test.later {
				t.Errorf("after the answer: %d findings", lost)
			}
		})
	}
}

// TestRecorder_KeepsStatesThatWereReadBeforeAChange has a request that begins and ends while the streams are
// read.
func TestRecorder_KeepsStatesThatWereReadBeforeAChange(t *testing.T) {
	full := integrity.Stream{Name: "S", Created: time.Unix(1, 0), First: 1, Last: 10, Messages: 10, Bytes: 1000}
	purged := full
	purged.First, purged.Messages, purged.Bytes = 11, 0, 0
	now, have := time.Unix(100, 0), full
	r := newRecorder(filepath.Join(t.TempDir(), "streams.json"), 0, hclog.NewNullLogger())
	r.gaps = func(string) (integrity.Ranges, error) { return nil, nil }
	during := func() {}
	r.streams = func() ([]integrity.Stream, bool) {
		read := []integrity.Stream{have}
		during()
		return read, true
	}
	if err := integrity.New().Save(r.path); err != nil {
		t.Fatal(err)
	}
	r.load(now)
	r.storeOpened()
	r.start(now)
	tick := func() {
		now = now.Add(time.Second)
		r.tick(now)
	}
	tick()
	during = func() {
		done := r.changing("STREAM.PURGE.S")
		have = purged
		done([]byte(`{"success":true,"purged":10}`))
		during = func() {}
	}
	for range 5 {
		tick()
		record, err := integrity.Load(r.path)
		if err != nil {
			t.Fatal(err)
		}
		if found := append(r.findings(), record.Compare([]integrity.Stream{have}, now)...); len(found) > 0 {
			t.Fatalf("found %+v", found)
		}
	}
}
