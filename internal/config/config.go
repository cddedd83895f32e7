// Package config reads TOML strictly: it checks every key and reports all problems in one
// pass, each with file, line, key, what was found and what would be valid. It knows no key
// by name: the package that a table configures lists the keys of that table.
package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/agnivade/levenshtein"
)

// Table is one table of the configuration. It holds its defaults before it is loaded.
type Table interface {
	// Keys lists the keys of the table, each bound to the field that it fills.
	Keys() []Key
	// Validate reports problems that no single key shows: relations between keys. It
	// changes nothing.
	Validate(*Check)
}

// Key is a key of a table.
type Key struct {
	Name  string
	Value Value
	Help  string // one line for the manual: what the key is for
}

// Value is bound to a field: a scalar, a list, a table or named tables.
type Value interface {
	// set takes the value that TOML found and fills the field. Its error says what was
	// found and what would be valid.
	set(found any) error
	// String returns the value as a file would write it; empty for tables.
	String() string
}

// filler is a Value that holds a whole table of the file. fill reports the problems of the
// table's keys; set is not called for a filler.
type filler interface {
	fill(r *report, path string, found map[string]any)
}

// Load lays the text of a file over the defaults of the root table and validates the result.
// The error is a Problems. With an empty text Load validates the defaults.
func Load(file string, text []byte, root Table) error {
	r := &report{file: file}
	tree := map[string]any{}
	md, err := toml.Decode(string(text), &tree)
	if err != nil {
		return Problems{syntaxProblem(file, err)}
	}
	r.lines = locate(string(text), md.Keys())
	r.fill("", root, tree)
	walk("", "", root, visitor{table: func(path, _ string, t Table) {
		t.Validate(&Check{all: r, table: path})
	}})
	return r.err()
}

func syntaxProblem(file string, err error) Problem {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return Problem{File: file, Text: err.Error()}
	}
	text := parse.Message
	if text == "" {
		text = strings.TrimPrefix(parse.Error(), "toml: ")
	}
	return Problem{File: file, Line: parse.Position.Line, Key: parse.LastKey, Text: text}
}

// fill sets every key of the table that the file holds.
func (r *report) fill(path string, table Table, found map[string]any) {
	keys := table.Keys()
	for name, value := range found {
		at := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
		if at < 0 {
			r.add(join(path, name), "unknown key%s", suggestion(name, keys))
			continue
		}
		r.fillKey(join(path, name), keys[at].Value, value)
	}
}

func (r *report) fillKey(path string, value Value, found any) {
	if inner, ok := value.(filler); ok {
		if table, ok := r.asTable(path, found); ok {
			inner.fill(r, path, table)
		}
		return
	}
	if err := value.set(found); err != nil {
		r.add(path, "%s", err)
	}
}

// asTable returns found as a table, or reports that it is none.
func (r *report) asTable(path string, found any) (map[string]any, bool) {
	table, ok := found.(map[string]any)
	if !ok {
		r.add(path, "expected a table, found %s; write [%s]", show(found), path)
	}
	return table, ok
}

// suggestion names the key that was probably meant, or is empty if none is close.
func suggestion(name string, keys []Key) string {
	best, distance := "", 3
	for _, key := range keys {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), key.Name); d < distance {
			best, distance = key.Name, d
		}
	}
	if best == "" || len(name) < 3 {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
