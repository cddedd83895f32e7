package jsconfig

import (
	"slices"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/subject"
)

// Validate reports declared streams that store each other's subjects, and max_bytes that
// together exceed what JetStream may store: maxStorage bytes in files, maxMemory in memory.
func (c *Config) Validate(check *config.Check, maxStorage, maxMemory int64) {
	declared := c.allStreams()
	for i, s := range declared {
		for _, other := range declared[:i] {
			checkOverlap(check, s, other)
		}
	}
	checkSpace(check, declared, "file", "jetstream.max_storage", maxStorage)
	checkSpace(check, declared, "memory", "jetstream.max_memory", maxMemory)
}

// checkOverlap reports a subject that both streams would store. The problem is
// reported for the stream that the file declares; if it declares both, for the later one.
func checkOverlap(check *config.Check, later, earlier *Stream) {
	if !check.Found("stream." + later.Name) {
		later, earlier = earlier, later
	}
	if a, b, overlaps := findOverlap(later.Subjects, earlier.Subjects); overlaps {
		check.Problem("stream."+later.Name+".subjects",
			"%q overlaps %q of stream %s; only one stream can store a message", a, b, earlier.Name)
	}
}

// findOverlap returns a subject of each list such that some message matches both.
func findOverlap(as, bs []string) (a, b string, overlaps bool) {
	for _, a := range as {
		i := slices.IndexFunc(bs, func(b string) bool { return subject.Overlap(a, b) })
		if i >= 0 {
			return a, bs[i], true
		}
	}
	return "", "", false
}

func checkSpace(check *config.Check, declared []*Stream, storage, key string, space int64) {
	if sum := sumMaxBytes(declared, storage); sum > space {
		check.Problem(key, "%s is less than %s, the sum of max_bytes of all streams with storage = %q",
			config.FormatSize(space), config.FormatSize(sum), storage)
	}
}

// sumMaxBytes adds up max_bytes of the streams with that storage; unlimited ones count as 0.
func sumMaxBytes(declared []*Stream, storage string) (sum int64) {
	for _, s := range declared {
		if s.Storage == storage {
			sum += max(s.MaxBytes, 0)
		}
	}
	return sum
}

// MaxDiskBytes returns how many bytes the declared streams may take on disk together. It is
// at most maxStorage, and maxStorage if a stream is unbounded.
func (c *Config) MaxDiskBytes(maxStorage int64) int64 {
	if len(c.Unbounded()) > 0 {
		return maxStorage
	}
	return min(sumMaxBytes(c.allStreams(), "file"), maxStorage)
}

// Unbounded returns the names of the declared streams in files that have no max_bytes: only
// jetstream.max_storage keeps them from filling the disk.
func (c *Config) Unbounded() []string {
	var names []string
	for _, s := range c.allStreams() {
		if s.MaxBytes <= 0 && s.Storage == "file" {
			names = append(names, s.Name)
		}
	}
	return names
}
