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

// Config is all declared streams and buckets, by name.
type Config struct {
	Streams map[string]*Stream
	Buckets map[string]*Bucket
}

// DefaultConfig returns Muster's own streams and the streams and buckets that a Choria broker
// creates, so that Choria's tools find what they expect. Unlike Choria's, each is bounded.
func DefaultConfig() Config {
	c := Config{Streams: map[string]*Stream{}, Buckets: map[string]*Bucket{}}

	s := c.add(contract.StreamRegistration, "What the nodes registered", contract.SubjectNodeMetadata+">")
	s.MaxAge, s.MaxBytes, s.MaxMsgsPerSubject = 7*day, 10<<30, 5
	s.DuplicateWindow, s.AllowDirect = 30*time.Second, true

	s = c.add(contract.StreamRejected, "Messages rejected by an adapter, with the reason", contract.SubjectRejected+">")
	s.MaxAge, s.MaxBytes = 7*day, 64<<20

	s = c.add(contract.StreamFleet, "Events of the fleet view", contract.SubjectFleet+">")
	s.MaxAge, s.MaxBytes = 30*day, 1<<30

	s = c.add(contract.StreamAudit, "What was done with administrator's rights", contract.SubjectAudit+">")
	s.MaxAge, s.MaxBytes, s.DenyDelete, s.DenyPurge = 365*day, 64<<20, true, true

	s = c.add(contract.StreamAdvisories, "", contract.SubjectAdvisories)
	s.MaxAge, s.MaxBytes = 7*day, 64<<20

	c.addChoriaStreams()
	b := NewBucket("CHORIA_LEADER_ELECTION")
	b.Description = "Choria Leader Election Bucket"
	b.TTL, b.MaxValueSize, b.MaxBytes = time.Minute, 1<<10, 16<<20
	c.Buckets[b.Name] = b
	return c
}

// day is the unit of the ages of streams.
const day = 24 * time.Hour

// addChoriaStreams adds the streams that a Choria broker creates.
func (c *Config) addChoriaStreams() {
	// Nodes expect no ack of their events. With acks, a reply subject chosen by a node would let
	// the server publish there.
	s := c.add("CHORIA_EVENTS", "", "choria.lifecycle.>")
	s.MaxAge, s.MaxBytes, s.NoAck = day, 512<<20, true

	s = c.add("CHORIA_MACHINE", "", "choria.machine.>")
	s.MaxAge, s.MaxBytes, s.NoAck = day, 512<<20, true

	s = c.add("CHORIA_STREAM_ADVISORIES", "", contract.SubjectsAdvisory)
	s.MaxAge, s.MaxBytes = 7*day, 64<<20

	s = c.add("CHORIA_EXECUTOR", "Choria Executor Events", "choria.submission.in.choria.executor.>")
	s.MaxAge, s.MaxBytes, s.AllowDirect = day, 512<<20, true
	s.Transform = Transform{Source: "choria.submission.in.choria.executor.>", Destination: "choria.executor.>"}
}

func (c *Config) add(name, description, subject string) *Stream {
	s := NewStream(name)
	s.Description = description
	s.Subjects = []string{subject}
	c.Streams[name] = s
	return s
}

// Keys lists the tables [stream.NAME] and [bucket.NAME], which are at the root of the file.
func (c *Config) Keys() []config.Key {
	return []config.Key{
		{Name: "stream", Value: config.NamedTables(c.Streams, NewStream), Help: "streams that must exist"},
		{Name: "bucket", Value: config.NamedTables(c.Buckets, NewBucket), Help: "key-value buckets that must exist"},
	}
}

// allStreams returns the enabled streams in order of name, then the streams behind the enabled
// buckets in order of name.
func (c *Config) allStreams() []*Stream {
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

// StreamConfigs returns the declared streams, as the server reports them once they exist.
func (c *Config) StreamConfigs() []jetstream.StreamConfig {
	var configs []jetstream.StreamConfig
	for _, s := range c.allStreams() {
		configs = append(configs, s.config())
	}
	return configs
}

// StreamNames returns the names of the declared streams and of the streams behind the declared buckets.
func (c *Config) StreamNames() []string {
	var names []string
	for _, s := range c.allStreams() {
		names = append(names, s.Name)
	}
	return names
}

// StreamsOf returns the names of the declared streams, without buckets, that store a message of the subject,
// which may hold wildcards.
func (c *Config) StreamsOf(published string) []string {
	var names []string
	for _, s := range c.allStreams() {
		overlaps := func(stored string) bool { return subject.Overlap(stored, published) }
		if c.Streams[s.Name] != nil && slices.ContainsFunc(s.Subjects, overlaps) {
			names = append(names, s.Name)
		}
	}
	return names
}

// WithoutAudit returns the names of the declared streams whose subject allAdvisories is narrowed.
func (c *Config) WithoutAudit() []string {
	var names []string
	for _, s := range c.allStreams() {
		if slices.Contains(s.Subjects, allAdvisories) {
			names = append(names, s.Name)
		}
	}
	return names
}

// StreamFor returns the declared stream that stores messages of the subject, or empty.
func (c *Config) StreamFor(published string) string {
	for _, s := range c.allStreams() {
		for _, stored := range s.Subjects {
			if subject.Covers(stored, published) {
				return s.Name
			}
		}
	}
	return ""
}
