package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// vagueActor matches words that hide what acts: a node, a client, an operator, the appliance.
var vagueActor = regexp.MustCompile(`(?i)\b(who|whoever|nobody|somebody|anybody)\b`)

// person matches what makes vagueActor right: "who" after a word for a person.
var person = regexp.MustCompile(`(?i)\b(users?|operators?|people|those|reader|clients) who\b`)

// oddPhrase matches phrases that are literal translations and stop a reader.
var oddPhrase = regexp.MustCompile(`(?i)\btells? (whether|of)\b|\bby itself\b|\bis said\b|" is no `)

// quotedWords are the files that name the words above in order to forbid them, or use one as data.
var quotedWords = map[string]bool{
	"conventions_wording_test.go":   true,
	"internal/cli/discover_test.go": true, // a node called nobody
	"internal/cli/golden_test.go":   true, // a node called nobody
}

func TestWording_NamesTheActor(t *testing.T) {
	var findings []string
	eachFile(t, func(path string) {
		if quotedWords[path] {
			return
		}
		for i, line := range strings.Split(read(t, path), "\n") {
			rest := person.ReplaceAllString(line, "")
			if word := vagueActor.FindString(rest) + oddPhrase.FindString(rest); word != "" {
				findings = append(findings, fmt.Sprintf("%s:%d: %q in %q", path, i+1, word, strings.TrimSpace(line)))
			}
		}
	}, ".go", ".md", ".toml")
	report(t, findings)
}
