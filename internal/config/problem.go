package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File string // as the user wrote it
	Line int    // counted from 1; 0 if the file does not mention the key
	Key  string // the whole dotted key; empty if the file is not valid TOML
	Text string // what was found and what would be valid
}

// String returns the problem on one line, such as appliance.toml:14: adapter.x.queue_len: …
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(printable(p.Key) + ": ")
	}
	return b.String() + p.Text
}

// printable returns a key, quoted if it has characters that a terminal would not print: names of tables may.
func printable(key string) string {
	if strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(key)
	}
	return key
}

// Problems is everything that is wrong with a configuration, in the order of the file.
type Problems []Problem

// Error returns all problems, one per line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Check collects the problems of one table. Load hands one to the table's Validate.
type Check struct {
	all   *report
	table string
}

// Problem records a problem with a key of the table: what was found and what would be valid.
// For a problem with the whole table the key is empty.
func (c *Check) Problem(key, format string, args ...any) {
	c.all.add(join(c.table, key), format, args...)
}

// Found reports whether the file holds the key, or the table of that name.
func (c *Check) Found(key string) bool {
	_, found := c.all.lines[join(c.table, key)]
	return found
}

// report collects the problems of one file.
type report struct {
	file     string
	lines    map[string]int // line of each key in the file, by dotted key
	problems Problems
}

func (r *report) add(key, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		File: r.file,
		Line: r.line(key),
		Key:  key,
		Text: fmt.Sprintf(format, args...),
	})
}

// line returns the line that mentions the key, or else that of the nearest table around it,
// or else that of the first key inside it: [a.b] mentions a, which has no line of its own.
// It returns 0 if the file mentions none of them.
func (r *report) line(key string) int {
	inside := 0
	for known, line := range r.lines {
		if strings.HasPrefix(known, key+".") && (inside == 0 || line < inside) {
			inside = line
		}
	}
	for key != "" {
		if line, ok := r.lines[key]; ok {
			return line
		}
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}
	return inside
}

// err returns the problems in the order of the file, or nil if there are none.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, cmp.Compare(a.Key, b.Key))
	})
	return r.problems
}

// join returns the path of a key in a table. Either may be empty.
func join(table, key string) string {
	if table == "" || key == "" {
		return table + key
	}
	return table + "." + key
}
