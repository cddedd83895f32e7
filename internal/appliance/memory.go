package appliance

import (
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	memoryInterval = time.Second
	// What an appliance takes beside its buffers: the server, its caches and one
	// adapter's share of what it has not read yet.
	baseMemory = 128 << 20
	// What a connected node takes with TLS, and its garbage, rounded up: with a limit below
	// that the collector does nothing but work, where thousands of nodes are connected.
	connectionMemory = 112 << 10
	// "auto" is a quarter of the memory for all buffers together, and at most so much each.
	mostAutoBuffer = 1 << 30
)

// machineMemory is the memory that this process may use, in bytes: that of its control
// group, or else of the machine.
func machineMemory() int64 {
	for _, limit := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if bytes, err := limit(); err == nil && bytes > 0 {
			return int64(min(bytes, 1<<50))
		}
	}
	return 1 << 30 // a small machine, to be on the safe side
}

// buffers are the bounds of the enabled adapters' buffers, in their order.
func (c *Config) buffers() []int64 {
	enabled := c.EnabledAdapters()
	auto := min(machineMemory()/4/int64(max(len(enabled), 1)), mostAutoBuffer)
	bounds := make([]int64, len(enabled))
	for i, a := range enabled {
		bounds[i] = a.Buffer
		if a.Buffer == 0 {
			bounds[i] = auto
		}
	}
	return bounds
}

// leastPending is half more than NATS allows by itself. It counts in a burst: what lies there is
// memory beside the buffer.
const leastPending = 96 << 20

// maxPending is how far a connection may lag behind the server: half of the largest
// buffer. The adapters' taps are fast, but on a machine that is busy with other things
// they too have to wait, and one that the server ends for it costs what it had not read.
// From three quarters of it on the server slows down who publishes.
func (c *Config) maxPending() int64 {
	return max(slices.Max(append(c.buffers(), 0))/2, leastPending)
}

// memoryLimit is what the garbage collector is told to stay within. Without it a burst
// that fills the buffer would take twice as much: the heap may double before Go collects.
// It grows with the connections, because a limit below what is in use costs the processor
// and saves nothing.
func (a *Appliance) memoryLimit() int64 {
	if a.cfg.MemoryLimit > 0 {
		return a.cfg.MemoryLimit
	}
	limit := int64(baseMemory + a.broker.Connections()*connectionMemory)
	for _, buffer := range a.cfg.buffers() {
		limit += buffer
	}
	return min(limit, machineMemory()/10*9)
}

// gcPercent is half of what Go collects garbage at. Most of the heap are messages, which the
// collector need not look into; memory that is used again sooner is warm, and a burst takes
// 12 % less of it and of the processor's time too.
const gcPercent = 50

// watchMemory keeps the limit right, GOMEMLIMIT and GOGC in the environment having the last
// word, and gives back what is not needed any more.
func (a *Appliance) watchMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ticker := time.NewTicker(memoryInterval)
	defer ticker.Stop()
	var t trim
	for {
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(a.memoryLimit())
		}
		select {
		case <-a.quit:
			return
		case now := <-ticker.C:
			t.look(now)
		}
	}
}
