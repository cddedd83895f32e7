package appliance

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// quietBytes is how much may be allocated in a second that counts as quiet.
	quietBytes = 4 << 20
	// quietSeconds so many in a row make it worth while to give memory back.
	quietSeconds = 3
	// spareBytes is how much has to be to spare; trimInterval how seldom it is looked for.
	spareBytes   = 16 << 20
	trimInterval = 15 * time.Second
)

// trim gives memory back to the machine when there is peace after a burst, or after a fleet
// has connected. Go by itself keeps what was in use until it is needed again or two minutes
// have gone, and the stacks of goroutines shrink by half at each collection only.
type trim struct {
	allocated uint64
	quiet     int
	at        time.Time
	again     bool // the stacks may shrink once more
}

// The figures of the Go runtime that trim goes by.
const (
	metricAllocated = "/gc/heap/allocs:bytes"
	metricObjects   = "/memory/classes/heap/objects:bytes" // with the garbage
	metricLive      = "/gc/heap/live:bytes"                // at the last collection
	metricFree      = "/memory/classes/heap/free:bytes"
)

// look is called once a second.
func (t *trim) look(now time.Time) {
	samples := []metrics.Sample{{Name: metricAllocated}, {Name: metricObjects}, {Name: metricLive}, {Name: metricFree}}
	metrics.Read(samples)
	value := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return samples[i].Value.Uint64()
	}
	if t.due(value(0), value(1), value(2), value(3), now) {
		debug.FreeOSMemory()
	}
}

// due tells whether memory should be given back now.
func (t *trim) due(allocated, objects, live, free uint64, now time.Time) bool {
	since := allocated - t.allocated
	t.allocated = allocated
	if t.quiet++; since > quietBytes {
		t.quiet = 0
	}
	if t.quiet < quietSeconds || now.Sub(t.at) < trimInterval {
		return false
	}
	spare := free
	if objects > live {
		spare += objects - live
	}
	if spare < spareBytes && !t.again {
		return false
	}
	t.again = spare >= spareBytes
	t.at, t.quiet = now, 0
	return true
}
