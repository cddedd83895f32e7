package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxGoColumns       = 120 // a tab counts as one
	maxMarkdownColumns = 100
)

func TestGo_LinesAreNarrow(t *testing.T) {
	var findings []string
	eachFile(t, func(path string) {
		for i, line := range strings.Split(read(t, path), "\n") {
			if n := utf8.RuneCountInString(line); n > maxGoColumns {
				findings = append(findings, fmt.Sprintf("%s:%d: %d columns", path, i+1, n))
			}
		}
	}, ".go")
	report(t, findings)
}

// linkOnly matches a line that holds a link and nothing that could be wrapped.
var linkOnly = regexp.MustCompile(`^\s*([-*] )?(\[[^\]]*\](: |\()|<?https?://)\S+$`)

// prose returns the lines of a Markdown text that can be wrapped, by their number: no tables,
// code blocks, headings or links.
func prose(text string) map[int]string {
	lines := map[int]string{}
	fenced, indented, blank := false, false, true
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced:
		case strings.HasPrefix(line, "    ") && (blank || indented):
			indented = true
			continue
		case strings.HasPrefix(line, "|"), strings.HasPrefix(line, "#"), linkOnly.MatchString(line):
		default:
			lines[i+1] = line
		}
		indented = indented && line == ""
		blank = line == ""
	}
	return lines
}

func TestMarkdown_LinesAreNarrow(t *testing.T) {
	var findings []string
	eachFile(t, func(path string) {
		for number, line := range prose(read(t, path)) {
			if n := utf8.RuneCountInString(line); n > maxMarkdownColumns {
				findings = append(findings, fmt.Sprintf("%s:%d: %d columns", path, number, n))
			}
		}
	}, ".md")
	report(t, findings)
}

func TestProse(t *testing.T) {
	text := "# Heading\n\nText\n\n    code\n\n    code\n\n```\nfenced\n```\n\n| a | table |\n" +
		"[link]: https://example.net/\n- [link](https://example.net/)\n- item\n    continued\n"
	have := fmt.Sprint(prose(text))
	// Empty lines are prose, too.
	for _, want := range []string{"3:Text", "16:- item", "17:    continued"} {
		if !strings.Contains(have, want) {
			t.Errorf("%q is missing in %s", want, have)
		}
	}
	for _, other := range []string{"Heading", "code", "fenced", "table", "link"} {
		if strings.Contains(have, other) {
			t.Errorf("%q is in %s", other, have)
		}
	}
}
