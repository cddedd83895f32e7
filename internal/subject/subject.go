// Package subject compares NATS subjects as text: which are valid, and which overlap. It needs
// no connection and no NATS library.
// See https://docs.nats.io/nats-concepts/subjects.
package subject

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Check returns what is wrong with a subject, or nil. The subject may hold the wildcards "*"
// and ">".
func Check(subject string) error {
	if subject == "" {
		return errors.New("a subject must not be empty")
	}
	if strings.ContainsAny(subject, " \t\r\n\x00") {
		return fmt.Errorf("%q contains a blank", subject)
	}
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if token == "" {
			return fmt.Errorf("%q has an empty token", subject)
		}
		if token == ">" && i < len(tokens)-1 {
			return fmt.Errorf("%q continues after \">\"", subject)
		}
	}
	return nil
}

// OfAllSenders returns the subject that covers a topic for every sender: from the token with %s
// on, the topic ends in ">".
func OfAllSenders(topic string) string {
	tokens := strings.Split(topic, ".")
	i := slices.IndexFunc(tokens, func(token string) bool { return strings.Contains(token, "%s") })
	if i < 0 {
		return topic
	}
	return strings.Join(append(tokens[:i], ">"), ".")
}

// Overlap reports whether some subject matches both a and b. Both must be valid.
func Overlap(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(as) && i < len(bs); i++ {
		switch {
		case as[i] == ">" || bs[i] == ">":
			return true
		case as[i] != bs[i] && as[i] != "*" && bs[i] != "*":
			return false
		}
	}
	return len(as) == len(bs)
}

// Covers reports whether every subject that matches inner matches outer too. Both must be
// valid.
func Covers(outer, inner string) bool {
	outers, inners := strings.Split(outer, "."), strings.Split(inner, ".")
	for i, token := range outers {
		switch {
		case token == ">":
			return len(inners) > i
		case i >= len(inners) || inners[i] == ">":
			return false
		case token != "*" && token != inners[i]:
			return false
		}
	}
	return len(outers) == len(inners)
}

// Intersect returns the subject that matches what both a and b match; ok is false if nothing does.
// Both must be valid.
func Intersect(a, b string) (both string, ok bool) {
	if !Overlap(a, b) {
		return "", false
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range as {
		switch {
		case as[i] == ">":
			return strings.Join(append(as[:i], bs[i:]...), "."), true
		case bs[i] == ">":
			return strings.Join(as, "."), true
		case as[i] == "*":
			as[i] = bs[i]
		}
	}
	return strings.Join(as, "."), true
}
