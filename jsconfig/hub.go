package jsconfig

import (
	"maps"
	"slices"

	"github.com/muster-appliance/muster/internal/contract"
)

// forwardedSubject is what a default stream of a hub stores beside its own subject.
type forwardedSubject struct {
	stream, own, forwarded string
}

// forwardedSubjects are those of all default streams.
func forwardedSubjects() []forwardedSubject {
	extended := func(stream, own string) forwardedSubject {
		return forwardedSubject{stream, own + ">", contract.SubjectSites + "*." + own + ">"}
	}
	return []forwardedSubject{
		extended(contract.StreamRegistration, contract.SubjectNodeMetadata),
		extended(contract.StreamFleet, contract.SubjectFleet),
	}
}

// AtHub returns the declarations of an appliance to which edges forward: the default streams also store what is
// forwarded, and allow Direct Get, with which an edge finds out what arrived. A stream that does not have its default
// subject stays as it is, and so does one with a subject_transform; another declared stream may store what is forwarded
// too.
func (c *Config) AtHub() Config {
	hub := Config{Streams: maps.Clone(c.Streams), Buckets: c.Buckets}
	for _, f := range forwardedSubjects() {
		s := hub.Streams[f.stream]
		if s == nil || !slices.Equal(s.Subjects, []string{f.own}) || s.Transform.Source != "" ||
			len(c.StreamsOf(f.forwarded)) > 0 {
			continue
		}
		extended := *s
		extended.Subjects = []string{f.own, f.forwarded}
		extended.AllowDirect = true
		hub.Streams[f.stream] = &extended
	}
	return hub
}

// Forwarded returns the subjects that an edge forwards to, unless its configuration names others.
func Forwarded() []string {
	var all []string
	for _, f := range forwardedSubjects() {
		all = append(all, f.forwarded)
	}
	return all
}
