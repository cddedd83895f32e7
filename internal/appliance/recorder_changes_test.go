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
	for name, test := range map[string]struct {
		operation    string
		after        []integrity.Stream
		lossExpected bool
	}{
		"purge":            {operation: "STREAM.PURGE.S", after: []integrity.Stream{purged}},
		"update":           {operation: "STREAM.UPDATE.S", after: []integrity.Stream{purged}},
		"delete":           {operation: "STREAM.DELETE.S"},
		"of another":       {operation: "STREAM.PURGE.T", after: []integrity.Stream{purged}, lossExpected: true},
		"removes nothing":  {operation: "STREAM.INFO.S", after: []integrity.Stream{purged}, lossExpected: true},
		"without a stream": {operation: "CONSUMER", after: []integrity.Stream{purged}, lossExpected: true},
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
			if (lost > 0) != test.lossExpected {
				t.Errorf("before the answer: %d findings", lost)
			}
			done()
			ticks()
			if (lost > 0) != test.lossExpected {
				t.Errorf("after the answer: %d findings", lost)
			}
		})
	}
}
