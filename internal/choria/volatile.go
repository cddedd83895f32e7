package choria

import (
	"slices"
	"strings"
)

// Volatile has the paths of facts that change between registrations although the node did not: names joined by dots,
// such as memory or system.uptime. What is below one of them is volatile too.
type Volatile []string

// Contains reports whether a fact is one of the volatile facts or below one of them.
func (v Volatile) Contains(path string) bool {
	return slices.ContainsFunc(v, func(fact string) bool { return path == fact || isBelow(path, fact) })
}

// containsBelow reports whether a volatile fact is below a fact.
func (v Volatile) containsBelow(path string) bool {
	return slices.ContainsFunc(v, func(fact string) bool { return isBelow(fact, path) })
}

// isBelow reports whether a path begins with another one and a dot.
func isBelow(path, other string) bool {
	return len(path) > len(other) && path[len(other)] == '.' && strings.HasPrefix(path, other)
}
