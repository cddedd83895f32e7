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
	prefix  string   // of subjects with the write token
	outputs []string // public subjects that only the appliance publishes to
}

func newSubjects(token string, outputs []string) *subjects {
	return &subjects{prefix: contract.WritePrefix(token), outputs: slices.Clone(outputs)}
}

// covers reports whether only the appliance publishes to the subject, which may hold wildcards.
func (s *subjects) covers(name string) bool {
	return slices.ContainsFunc(s.outputs, func(output string) bool { return subject.Covers(output, name) })
}

// overlaps reports whether the appliance publishes to a subject that matches the name.
func (s *subjects) overlaps(name string) bool {
	return slices.ContainsFunc(s.outputs, func(output string) bool { return subject.Overlap(output, name) })
}

// remove makes the outputs that overlap one of the names public, and reports whether there are any.
func (s *subjects) remove(names []string) bool {
	before := len(s.outputs)
	s.outputs = slices.DeleteFunc(s.outputs, func(output string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return subject.Overlap(output, name) })
	})
	return len(s.outputs) < before
}

// private returns what a private stream listens to, given its public subjects. A public subject that
// matches more than the outputs stays beside the one with the token.
func (s *subjects) private(names []string) []string {
	var all []string
	for _, name := range names {
		if !s.covers(name) {
			all = append(all, name)
		}
		if s.overlaps(name) {
			all = append(all, s.prefix+name)
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
