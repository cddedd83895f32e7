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
	// spareBytes is how much has to be to spare, and spareShare what part of that in use.
	spareBytes = 16 << 20
	spareShare = 8
	// trimInterval is how seldom memory is given back, and trimShare what part of the time
	// it may take: where many nodes are connected a collection is no trifle.
	trimInterval = 15 * time.Second
	trimShare    = 100
)

// trim gives memory back to the machine when there is peace after a burst, or after a fleet
// has connected. Go by itself keeps what was in use until it is needed again or two minutes
// have gone, and the stacks of goroutines shrink by half at each collection only.
type trim struct {
	allocated uint64
	quiet     int
	next      time.Time // not before
	again     bool      // the stacks may shrink once more
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
		start := time.Now()
		debug.FreeOSMemory()
		t.rest(now, time.Since(start))
	}
}

// due tells whether memory should be given back now.
func (t *trim) due(allocated, objects, live, free uint64, now time.Time) bool {
	since := allocated - t.allocated
	t.allocated = allocated
	if t.quiet++; since > quietBytes {
		t.quiet = 0
	}
	if t.quiet < quietSeconds || now.Before(t.next) {
		return false
	}
	spare := free
	if objects > live {
		spare += objects - live
	}
	enough := spare >= max(spareBytes, live/spareShare)
	if !enough && !t.again {
		return false
	}
	t.again = enough
	t.quiet = 0
	return true
}

// rest sees to it that giving back, which took so long, takes little of the time.
func (t *trim) rest(now time.Time, took time.Duration) {
	t.next = now.Add(max(trimInterval, trimShare*took))
}
