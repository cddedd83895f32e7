package privatestream

import (
	"slices"
	"strings"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/subject"
)

// subjects translates between public subjects, which readers know, and those with the write token, to
// which private streams listen.
type subjects struct {
	prefix  string     // of subjects with the write token
	streams []string   // names of the private streams that are declared
	outputs outputList // what they store that only the appliance publishes
}

func newSubjects(token string, streams, all []string) *subjects {
	return &subjects{prefix: contract.WritePrefix(token), streams: streams, outputs: slices.Clone(all)}
}

// outputList is public subjects that private streams store with the write token only.
type outputList []string

// covers reports whether one of the outputs covers the subject, which may hold wildcards.
func (o outputList) covers(name string) bool {
	return slices.ContainsFunc(o, func(output string) bool { return subject.Covers(output, name) })
}

// overlaps reports whether one of the outputs matches the subject.
func (o outputList) overlaps(name string) bool {
	return slices.ContainsFunc(o, func(output string) bool { return subject.Overlap(output, name) })
}

// canBePrivate reports whether a stream with that name is private if it has the subjects for it.
func (s *subjects) canBePrivate(stream string) bool {
	return slices.Contains(s.streams, stream) || contract.GovernorSubjects(stream) != ""
}

// of returns the outputs of a stream with these public subjects; none: it is not private. A governor is private,
// unless it has other subjects than Choria gives it.
func (s *subjects) of(stream string, names []string) outputList {
	if slices.Contains(s.streams, stream) {
		return s.outputs
	}
	governor := contract.GovernorSubjects(stream)
	if governor == "" {
		return nil
	}
	isEntered := func(name string) bool { return subject.Covers(governor, name) }
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !isEntered(name) })
}

// remove makes the outputs that overlap one of the names public, and reports whether there are any.
func (s *subjects) remove(names []string) bool {
	before := len(s.outputs)
	s.outputs = slices.DeleteFunc(s.outputs, func(output string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return subject.Overlap(output, name) })
	})
	return len(s.outputs) < before
}

// private returns what a stream with these outputs listens to, given its public subjects. A public subject that
// matches more than the outputs stays beside the one with the token.
func (o outputList) private(prefix string, names []string) []string {
	var all []string
	for _, name := range names {
		if !o.covers(name) {
			all = append(all, name)
		}
		if o.overlaps(name) {
			all = append(all, prefix+name)
		}
	}
	return all
}

// public returns the public subjects of a stream, and whether any of the names has a write token: that of
// this appliance or an earlier one.
func public(names []string) (all []string, found bool) {
	for _, name := range names {
		rest, hasToken := withoutToken(name)
		found = found || hasToken
		if !slices.Contains(all, rest) {
			all = append(all, rest)
		}
	}
	return all, found
}

// withoutToken returns the public subject, and whether the name has a write token.
func withoutToken(name string) (rest string, found bool) {
	rest, found = strings.CutPrefix(name, contract.SubjectWrite)
	if found {
		_, rest, found = strings.Cut(rest, ".")
	}
	if !found {
		return name, false
	}
	return rest, true
}
