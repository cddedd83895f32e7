package appliance

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// maxIdleAlloc is how many bytes may be allocated in a second that counts as idle.
	maxIdleAlloc = 4 << 20
	// minIdleSeconds is how many idle seconds in a row must pass before memory is released.
	minIdleSeconds = 3
	// Memory is released if at least minSpare bytes are unused, and at least 1/minSpareShare of the
	// memory in use.
	minSpare      = 16 << 20
	minSpareShare = 8
	// minTrimInterval is the minimum time between two releases of memory. They take at most
	// 1/trimShare of the time: with many nodes connected, a garbage collection takes long.
	minTrimInterval = 15 * time.Second
	trimShare       = 100
)

// trimmer releases unused memory to the system when the process is idle after a burst, or after a fleet
// has connected. Go alone keeps memory until it is used again or two minutes have passed, and
// each garbage collection shrinks the stacks of goroutines only by half.
type trimmer struct {
	allocated   uint64    // bytes allocated since the start of the process, at the last tick
	idleSeconds int       // idle seconds in a row
	notBefore   time.Time // no release before
	repeat      bool      // the last release freed enough; one more follows to shrink goroutine stacks
}

// Metrics of the Go runtime, in bytes.
const (
	metricAllocated = "/gc/heap/allocs:bytes"
	metricObjects   = "/memory/classes/heap/objects:bytes" // with garbage
	metricLive      = "/gc/heap/live:bytes"                // at the last garbage collection
	metricFree      = "/memory/classes/heap/free:bytes"
)

// tick releases memory if it is time for that. It must be called once a second.
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

// isDue reports whether memory should be released now. The first four arguments are the metrics.
func (t *trimmer) isDue(allocated, objects, live, free uint64, now time.Time) bool {
	since := allocated - t.allocated
	t.allocated = allocated
	if t.idleSeconds++; since > maxIdleAlloc {
		t.idleSeconds = 0
	}
	if t.idleSeconds < minIdleSeconds || now.Before(t.notBefore) {
		return false
	}
	spare := free
	if objects > live {
		spare += objects - live
	}
	worthIt := spare >= max(minSpare, live/minSpareShare)
	if !worthIt && !t.repeat {
		return false
	}
	t.repeat = worthIt
	t.idleSeconds = 0
	return true
}

// trimmed records that memory was released at that time, and how long that took.
func (t *trimmer) trimmed(now time.Time, took time.Duration) {
	t.notBefore = now.Add(max(minTrimInterval, trimShare*took))
}
