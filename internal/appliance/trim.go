package appliance

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// maxQuietAlloc is how many bytes may be allocated in a second that counts as quiet.
	maxQuietAlloc = 4 << 20
	// minQuiet is how many quiet seconds in a row must pass before memory is returned.
	minQuiet = 3
	// Memory is returned if at least minSpare bytes are unused, and at least one part in
	// minSpareShare of the memory in use.
	minSpare      = 16 << 20
	minSpareShare = 8
	// minTrimInterval is the least time between two returns. A return takes at most one part in
	// trimShare of the time: with many nodes connected, a garbage collection takes long.
	minTrimInterval = 15 * time.Second
	trimShare       = 100
)

// trimmer returns unused memory to the system when it is quiet after a burst, or after a fleet
// has connected. Go alone keeps memory until it is used again or two minutes have passed, and
// each garbage collection shrinks the stacks of goroutines only by half.
type trimmer struct {
	allocated uint64    // bytes allocated since the start of the process, at the last tick
	quiet     int       // quiet seconds in a row
	next      time.Time // no return before
	again     bool      // the last return was worth it: the next one shrinks the stacks once more
}

// Metrics of the Go runtime, in bytes.
const (
	metricAllocated = "/gc/heap/allocs:bytes"
	metricObjects   = "/memory/classes/heap/objects:bytes" // with garbage
	metricLive      = "/gc/heap/live:bytes"                // at the last garbage collection
	metricFree      = "/memory/classes/heap/free:bytes"
)

// tick returns memory if it is time for that. It must be called once a second.
func (t *trimmer) tick(now time.Time) {
	samples := []metrics.Sample{{Name: metricAllocated}, {Name: metricObjects}, {Name: metricLive}, {Name: metricFree}}
	metrics.Read(samples)
	value := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return samples[i].Value.Uint64()
	}
	if t.isDue(value(0), value(1), value(2), value(3), now) {
		start := time.Now()
		debug.FreeOSMemory()
		t.trimmed(now, time.Since(start))
	}
}

// isDue reports whether memory should be returned now. The first four arguments are the metrics.
func (t *trimmer) isDue(allocated, objects, live, free uint64, now time.Time) bool {
	since := allocated - t.allocated
	t.allocated = allocated
	if t.quiet++; since > maxQuietAlloc {
		t.quiet = 0
	}
	if t.quiet < minQuiet || now.Before(t.next) {
		return false
	}
	spare := free
	if objects > live {
		spare += objects - live
	}
	worthIt := spare >= max(minSpare, live/minSpareShare)
	if !worthIt && !t.again {
		return false
	}
	t.again = worthIt
	t.quiet = 0
	return true
}

// trimmed records that memory was returned at that time, and how long that took.
func (t *trimmer) trimmed(now time.Time, took time.Duration) {
	t.next = now.Add(max(minTrimInterval, trimShare*took))
}
