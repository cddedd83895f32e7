package config

import (
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// isHeader tells a table's header from a line inside a list.
var isHeader = regexp.MustCompile(`^\s*\[{1,2}[^\[\],=]+\]{1,2}\s*(#.*)?$`)

// longStrings are strings of several lines, in which what looks like a key is none.
var longStrings = regexp.MustCompile(`(?s)""".*?"""|'''.*?'''`)

// locate finds the line of every key. The TOML library knows the lines and does not
// tell them, but it lists the keys in the order of the file: so each is searched for
// from the line of the one before. The text is known to be valid TOML.
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

// withoutValues blanks quoted texts that are values, and comments: they may look like keys.
func withoutValues(line string) string {
	out := []byte(line)
	var quote byte
	end := unquotedEquals(line) // keys may be quoted before it
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

// unquotedEquals is where the first "=" outside quotes stands, or -1.
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

// search looks for the line that defines the key: a table's header, or its last part before "=".
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
