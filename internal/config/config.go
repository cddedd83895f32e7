// Package config reads TOML strictly: every key is checked, and all that is wrong is
// reported in one pass, each with file, line, key, what was found and the cure.
// It knows no key by name: what a table holds is said by the package it configures.
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
	// Keys lists what the table may hold, each bound to the field that it fills.
	Keys() []Key
	// Validate reports what the single keys cannot show: relations between them.
	Validate(*Check)
}

// Key is a key of a table.
type Key struct {
	Name  string
	Value Value
	Help  string // one line: what it is for
}

// Value is what a key may hold: a scalar, a list, a table or named tables.
type Value interface {
	// set takes what TOML found; its error says what was found and what would be right.
	set(found any) error
	// String is the value as it would stand in a file; empty for tables.
	String() string
}

// Load lays the text of a file over the root table's defaults and validates the whole.
// The error is a Problems. An empty text validates the defaults.
func Load(file string, text []byte, root Table) error {
	r := &report{file: file}
	tree := map[string]any{}
	md, err := toml.Decode(string(text), &tree)
	if err != nil {
		return Problems{syntaxProblem(file, err)}
	}
	r.lines = locate(string(text), md.Keys())
	r.fill("", root, tree)
	r.validate("", root)
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

// fill gives every found key to the field it is bound to.
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
	switch v := value.(type) {
	case tableValue:
		if sub, ok := r.asTable(path, found); ok {
			r.fill(path, v.Table, sub)
		}
	case namedValue:
		named, ok := r.asTable(path, found)
		for name, entry := range named {
			if sub, isTable := r.asTable(join(path, name), entry); ok && isTable {
				r.fill(join(path, name), v.open(name), sub)
			}
		}
	case pairsValue:
		pairs, _ := r.asTable(path, found)
		for name, text := range pairs {
			if err := v.setPair(name, text); err != nil {
				r.add(join(path, name), "%s", err)
			}
		}
	default:
		if err := value.set(found); err != nil {
			r.add(path, "%s", err)
		}
	}
}

func (r *report) asTable(path string, found any) (map[string]any, bool) {
	sub, ok := found.(map[string]any)
	if !ok {
		r.add(path, "%s where a table is wanted; write [%s]", show(found), path)
	}
	return sub, ok
}

func (r *report) validate(path string, table Table) {
	table.Validate(&Check{all: r, table: path})
	for _, key := range table.Keys() {
		switch v := key.Value.(type) {
		case tableValue:
			r.validate(join(path, key.Name), v.Table)
		case namedValue:
			for name, entry := range v.each() {
				r.validate(join(path, key.Name)+"."+name, entry)
			}
		}
	}
}

// suggestion names the key that was probably meant, if one is close.
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
