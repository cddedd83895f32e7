// Package subject knows NATS subjects as text: which are valid, and which overlap.
// See https://docs.nats.io/nats-concepts/subjects.
package subject

import (
	"fmt"
	"strings"
)

// Check says what is wrong with a subject that may hold the wildcards "*" and ">".
func Check(subject string) error {
	if subject == "" {
		return fmt.Errorf("an empty subject")
	}
	if strings.ContainsAny(subject, " \t\r\n\x00") {
		return fmt.Errorf("%q has a blank in it", subject)
	}
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if token == "" {
			return fmt.Errorf("%q has an empty token", subject)
		}
		if token == ">" && i < len(tokens)-1 {
			return fmt.Errorf("%q goes on after \">\"", subject)
		}
	}
	return nil
}

// Overlap tells whether some subject matches both a and b.
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

// Covers tells whether every subject that matches inner matches outer too.
func Covers(outer, inner string) bool {
	os, is := strings.Split(outer, "."), strings.Split(inner, ".")
	for i, token := range os {
		switch {
		case token == ">":
			return len(is) > i
		case i >= len(is) || is[i] == ">":
			return false
		case token != "*" && token != is[i]:
			return false
		}
	}
	return len(os) == len(is)
}
