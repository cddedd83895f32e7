package jsconfig

import (
	"maps"
	"slices"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
	"github.com/nats-io/nats.go/jetstream"
)

// Config is everything that is declared, by name.
type Config struct {
	Streams map[string]*Stream
	Buckets map[string]*Bucket
}

// DefaultConfig is the stream of registrations, that of rejected messages, and the streams
// that a Choria broker makes for itself, so that Choria's tools feel at home. Unlike
// Choria's, each is bounded.
func DefaultConfig() Config {
	c := Config{Streams: map[string]*Stream{}, Buckets: map[string]*Bucket{}}
	const day = 24 * time.Hour

	s := c.add(contract.StreamRegistration, "What the nodes registered", contract.SubjectNodeMetadata+">")
	s.MaxAge, s.MaxBytes, s.MaxMsgsPerSubject = 7*day, 10<<30, 5
	s.DuplicateWindow, s.AllowDirect = 30*time.Second, true

	s = c.add(contract.StreamRejected, "Messages rejected by an adapter, with the reason", contract.SubjectRejected+">")
	s.MaxAge, s.MaxBytes = 7*day, 64<<20

	s = c.add(contract.StreamFleet, "Events of the fleet view", contract.SubjectFleet+">")
	s.MaxAge, s.MaxBytes = 30*day, 1<<30

	s = c.add(contract.StreamAdvisories, "", contract.SubjectAdvisories)
	s.MaxAge, s.MaxBytes = 7*day, 64<<20

	// Nodes want no answer to their events, and could have it sent to any subject.
	s = c.add("CHORIA_EVENTS", "", "choria.lifecycle.>")
	s.MaxAge, s.MaxBytes, s.NoAck = day, 512<<20, true

	s = c.add("CHORIA_MACHINE", "", "choria.machine.>")
	s.MaxAge, s.MaxBytes, s.NoAck = day, 512<<20, true

	s = c.add("CHORIA_STREAM_ADVISORIES", "", "$JS.EVENT.ADVISORY.>")
	s.MaxAge, s.MaxBytes = 7*day, 64<<20

	s = c.add("CHORIA_EXECUTOR", "Choria Executor Events", "choria.submission.in.choria.executor.>")
	s.MaxAge, s.MaxBytes, s.AllowDirect = day, 512<<20, true
	s.Transform = Transform{Source: "choria.submission.in.choria.executor.>", Destination: "choria.executor.>"}

	b := NewBucket("CHORIA_LEADER_ELECTION")
	b.Description = "Choria Leader Election Bucket"
	b.TTL, b.MaxValueSize, b.MaxBytes = time.Minute, 1<<10, 16<<20
	c.Buckets[b.Name] = b
	return c
}

func (c *Config) add(name, description, subject string) *Stream {
	s := NewStream(name)
	s.Description = description
	s.Subjects = []string{subject}
	c.Streams[name] = s
	return s
}

// Keys lists the tables [stream.NAME] and [bucket.NAME], which stand at the top of the file.
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "stream", Value: config.Named(c.Streams, NewStream), Help: "streams that must exist"},
		{Name: "bucket", Value: config.Named(c.Buckets, NewBucket), Help: "key-value buckets that must exist"},
	}
}

// Validate refuses streams that take each other's subjects, and limits that together are
// more than may be stored: maxStorage bytes in files, maxMemory in memory.
func (c *Config) Validate(check *config.Check, maxStorage, maxMemory int64) {
	declared := c.declared()
	for i, s := range declared {
		for _, other := range declared[:i] {
			first, second := other, s
			if !check.Found("stream." + s.Name) { // a default: the other one is the file's
				first, second = s, other
			}
			if a, b, clash := overlap(second.Subjects, first.Subjects); clash {
				check.Problem("stream."+second.Name+".subjects",
					"%q overlaps %q of stream %s; a message can go into one stream only", a, b, first.Name)
			}
		}
	}
	checkRoom(check, declared, "file", "jetstream.max_storage", maxStorage)
	checkRoom(check, declared, "memory", "jetstream.max_memory", maxMemory)
}

func checkRoom(check *config.Check, declared []*Stream, storage, key string, room int64) {
	if sum := bytesIn(declared, storage); sum > room {
		check.Problem(key, "%s is less than the max_bytes of the streams in %s together, %s",
			config.FormatSize(room), storage, config.FormatSize(sum))
	}
}

func bytesIn(declared []*Stream, storage string) (sum int64) {
	for _, s := range declared {
		if s.Storage == storage {
			sum += max(s.MaxBytes, 0)
		}
	}
	return sum
}

// OnDisk is how many bytes the declared streams may take there together, at most so many.
func (c *Config) OnDisk(most int64) int64 {
	if len(c.Unbounded()) > 0 {
		return most
	}
	return min(bytesIn(c.declared(), "file"), most)
}

// declared are all streams that should exist, those behind buckets too, in order of name.
func (c *Config) declared() []*Stream {
	var all []*Stream
	for _, name := range slices.Sorted(maps.Keys(c.Streams)) {
		if s := c.Streams[name]; s.Enabled {
			all = append(all, s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Buckets)) {
		if b := c.Buckets[name]; b.Enabled {
			all = append(all, b.stream())
		}
	}
	return all
}

// StreamConfigs is what is declared, as the server will report it.
func (c *Config) StreamConfigs() []jetstream.StreamConfig {
	var want []jetstream.StreamConfig
	for _, s := range c.declared() {
		want = append(want, s.config())
	}
	return want
}

// overlap is a subject of each list that some message would match both of.
func overlap(as, bs []string) (string, string, bool) {
	for _, a := range as {
		for _, b := range bs {
			if subject.Overlap(a, b) {
				return a, b, true
			}
		}
	}
	return "", "", false
}

// StreamFor is the declared stream that stores messages of the subject, or empty.
func (c *Config) StreamFor(published string) string {
	for _, s := range c.declared() {
		for _, taken := range s.Subjects {
			if subject.Covers(taken, published) {
				return s.Name
			}
		}
	}
	return ""
}

// Unbounded are the declared streams that no limit keeps from filling the disk.
func (c *Config) Unbounded() []string {
	var names []string
	for _, s := range c.declared() {
		if s.MaxBytes <= 0 && s.Storage == "file" {
			names = append(names, s.Name)
		}
	}
	return names
}
