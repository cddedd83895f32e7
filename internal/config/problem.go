package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File string // as the user named it
	Line int    // counted from 1; 0 where the file does not mention the key
	Key  string // the whole dotted key; empty where the file is no TOML at all
	Text string // what was found and what would be right
}

// String is the problem on one line: appliance.toml:14: adapter.x.queue_len: …
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
		b.WriteString(p.Key + ": ")
	}
	return b.String() + p.Text
}

// Problems is everything that is wrong with a configuration, in the order of the file.
type Problems []Problem

// Error is all problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Check collects the problems of one table. A table's Validate is given one.
type Check struct {
	all   *report
	table string
}

// Problem records what is wrong with a key of the table: what was found and what would be right.
// A problem of the whole table has the empty key.
func (c *Check) Problem(key, format string, args ...any) {
	c.all.add(join(c.table, key), format, args...)
}

// Found tells whether the file holds the key, or the table of that name.
func (c *Check) Found(key string) bool {
	_, found := c.all.lines[join(c.table, key)]
	return found
}

// report is the problems of one file, with the place of every key in it.
type report struct {
	file     string
	lines    map[string]int
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

// line is where the file mentions the key, or else the nearest table around it, or else
// the first key inside it: [a.b] mentions a without a line of its own.
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

// err is nil where there are no problems.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(a.Line-b.Line, cmp.Compare(a.Key, b.Key))
	})
	return r.problems
}

func join(table, key string) string {
	if table == "" || key == "" {
		return table + key
	}
	return table + "." + key
}
