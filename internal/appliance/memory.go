package appliance

import (
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/muster-appliance/muster/broker"
)

const (
	memoryInterval = time.Second
	// baseMemory is what an appliance needs beside its buffers: the server, its caches, and
	// the unread messages of one connection.
	baseMemory = 128 << 20
	// connectionMemory is what a connected node needs with TLS, and its garbage, rounded up.
	// With thousands of nodes, a lower limit would keep the garbage collector busy all the time.
	connectionMemory = 112 << 10
	// maxAutoBuffer bounds each buffer that is "auto". All of them together take at most a
	// quarter of the memory.
	maxAutoBuffer = 1 << 30
)

// machineMemory returns the memory that this process may use, in bytes: the limit of its
// control group, or else the memory of the machine.
func machineMemory() int64 {
	for _, limit := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if bytes, err := limit(); err == nil && bytes > 0 {
			return int64(min(bytes, 1<<50))
		}
	}
	return 1 << 30 // unknown: assume a small machine
}

// bufferSizes returns the size of each enabled adapter's buffer in bytes, in the order of EnabledAdapters.
func (c *Config) bufferSizes() []int64 {
	enabled := c.EnabledAdapters()
	auto := min(machineMemory()/4/int64(max(len(enabled), 1)), maxAutoBuffer)
	sizes := make([]int64, len(enabled))
	for i, a := range enabled {
		sizes[i] = a.Buffer
		if a.Buffer == 0 {
			sizes[i] = auto
		}
	}
	return sizes
}

// minBacklog is 1.5 times NATS's default. In a burst, the bytes that wait for a connection are
// used in addition to the buffers.
const minBacklog = 96 << 20

// maxBacklog returns how many bytes the server keeps for a connection that reads too slowly
// before it closes it: half of the largest buffer. The adapters' connections read fast, but on a
// busy machine they have to wait too, and everything that a closed one had not read is lost.
// From three quarters of maxBacklog the server slows down the publishers.
func (c *Config) maxBacklog() int64 {
	return max(slices.Max(append(c.bufferSizes(), 0))/2, minBacklog)
}

// clientBacklog returns how many bytes may wait for all nodes and clients together: a quarter of the
// largest buffer.
func (c *Config) clientBacklog() int64 {
	return max(slices.Max(append(c.bufferSizes(), 0))/4, broker.MinClientBacklog)
}

// memoryLimit returns the soft limit of the process's memory, in bytes. Without it a burst that
// fills the buffer would take twice as much, because the heap may double before Go collects
// garbage. It grows with the connections: a limit below what is in use costs processor time
// and saves no memory.
func (a *Appliance) memoryLimit() int64 {
	if a.cfg.MemoryLimit > 0 {
		return a.cfg.MemoryLimit
	}
	limit := int64(baseMemory + a.broker.Connections()*connectionMemory)
	for _, buffer := range a.cfg.bufferSizes() {
		limit += buffer
	}
	return min(limit, machineMemory()/10*9)
}

// gcPercent is half of Go's default. Collecting more often is cheap, because the bytes
// of messages hold no pointers. It reuses memory sooner, while it is in the cache: a burst takes 12 % less memory and
// processor time.
const gcPercent = 50

// limitMemory adjusts the memory limit and releases unused memory to the system, every
// memoryInterval until Close. GOMEMLIMIT and GOGC in the environment win.
func (a *Appliance) limitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ticker := time.NewTicker(memoryInterval)
	defer ticker.Stop()
	var t trimmer
	for {
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(a.memoryLimit())
		}
		select {
		case <-a.quit:
			return
		case now := <-ticker.C:
			t.tick(now)
		}
	}
}
