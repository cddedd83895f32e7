package config

import (
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// isHeader matches the header of a table, but not a line inside a list.
var isHeader = regexp.MustCompile(`^\s*\[{1,2}[^\[\],=]+\]{1,2}\s*(#.*)?$`)

// longStrings matches strings of several lines. Text in them may look like a key.
var longStrings = regexp.MustCompile(`(?s)""".*?"""|'''.*?'''`)

// locate returns the line of every key, counted from 1, by dotted key. The TOML library does
// not export the lines, but it lists the keys in the order of the file: locate searches for
// each key from the line of the one before. The text must be valid TOML.
func locate(text string, keys []toml.Key) map[string]int {
	text = longStrings.ReplaceAllStringFunc(text, func(s string) string {
		return strings.Repeat("\n", strings.Count(s, "\n"))
	})
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = withoutValues(line)
	}
	found := make(map[string]int, len(keys))
	from := 0
	for _, key := range keys {
		path := strings.Join(key, ".")
		if _, known := found[path]; known {
			continue
		}
		at, exact := search(lines, from, key)
		if !exact {
			continue
		}
		found[path] = at + 1
		from = at
	}
	return found
}

// withoutValues blanks quoted values and cuts comments: both may look like keys.
func withoutValues(line string) string {
	out := []byte(line)
	var quote byte
	end := unquotedEquals(line) // quoted text before it is a key, and stays
	if end < 0 && isHeader.MatchString(line) {
		end = len(line)
	}
	for i := range out {
		c := line[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			} else if i > end {
				out[i] = ' '
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return string(out[:i])
		}
	}
	return string(out)
}

// unquotedEquals returns the index of the first "=" outside quotes, or -1.
func unquotedEquals(line string) int {
	var quote byte
	for i := range len(line) {
		switch c := line[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '=':
			return i
		case c == '#':
			return -1
		}
	}
	return -1
}

// search returns the index of the first line from lines[from] that defines the key: the header
// of a table, or the last part of the key before "=".
func search(lines []string, from int, key toml.Key) (int, bool) {
	last := regexp.QuoteMeta(key[len(key)-1])
	name := `(?:` + last + `|"` + last + `"|'` + last + `')`
	header := regexp.MustCompile(`^\s*\[+\s*([^\]#]*\.\s*)?` + name + `\s*\]`)
	assign := regexp.MustCompile(`(^|[{,.])\s*` + name + `\s*(=|\.)`)
	for i := from; i < len(lines); i++ {
		line := lines[i]
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		if header.MatchString(line) || assign.MatchString(line) {
			return i, true
		}
	}
	return 0, false
}
