package appliance

import (
	"fmt"
	"maps"
	"slices"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/subject"
)

// checkMappings reports mappings that keep messages from an adapter or from its stream, or that lead to a private
// stream. A destination may be a subject that an adapter reads: NATS checks the permissions for it, and the adapter
// learns which connection published.
func (c *Config) checkMappings(check *config.Check) {
	outputs := c.outputSubjects()
	var private []string
	for _, name := range c.privateStreams(c.privateOutputs()) {
		private = append(private, c.DeclaredStreams().Streams[name].Subjects...)
	}
	for source, destination := range c.Broker.Mappings.Subjects() {
		problem := func(format string, args ...any) { check.Problem("broker.mappings."+source, format, args...) }
		if topic := firstOverlap(c.ingestSubjects(), source); topic != "" {
			problem("the source overlaps %q, which an adapter reads, so it would not receive the messages; "+
				"name a subject that no adapter reads", topic)
		}
		if output := firstOverlap(outputs, source); output != "" {
			problem("the source overlaps %q, to which an adapter publishes; name another subject", output)
		}
		if output := firstOverlap(slices.Concat(outputs, private), destination); output != "" {
			problem("the destination %q overlaps %q of a private stream, to which only the appliance publishes; "+
				"name another subject", c.Broker.Mappings[source], output)
		}
	}
}

// mappingWarnings returns a sentence for each stream that does not get what it seems to store, because of a mapping.
func (c *Config) mappingWarnings() (warnings []string) {
	declared := c.DeclaredStreams()
	mappings := c.Broker.Mappings.Subjects()
	for _, source := range slices.Sorted(maps.Keys(mappings)) {
		for _, name := range declared.StreamsOf(source) {
			if !slices.Contains(declared.StreamsOf(mappings[source]), name) {
				warnings = append(warnings, fmt.Sprintf("stream %s does not store what is published to %q: "+
					"broker.mappings maps it to %q", name, source, c.Broker.Mappings[source]))
			}
		}
	}
	return warnings
}

// firstOverlap returns the first of the subjects that overlaps the other one; empty: none does.
func firstOverlap(subjects []string, other string) string {
	i := slices.IndexFunc(subjects, func(name string) bool { return subject.Overlap(name, other) })
	if i < 0 {
		return ""
	}
	return subjects[i]
}
