package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Secret is a text that is never shown. The file holds the text itself, or "file:PATH" or
// "credential:NAME" for the content of a file without the line feeds at its end.
func Secret(into *string) Value { return secretValue{into} }

type secretValue struct{ into *string }

func (v secretValue) set(found any) error {
	s, ok := found.(string)
	if !ok {
		return errors.New(`expected a secret as text in quotes, or "file:PATH"`)
	}
	path, isFile := strings.CutPrefix(s, "file:")
	if name, isCredential := strings.CutPrefix(s, credentialPrefix); isCredential {
		var err error
		if path, err = credential(name); err != nil {
			return err
		}
		isFile = true
	}
	if !isFile {
		*v.into = s
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the secret: %w", err)
	}
	*v.into = strings.TrimRight(string(content), "\r\n")
	return nil
}

func (v secretValue) String() string {
	if *v.into == "" {
		return `""`
	}
	return `"…"`
}

// Pairs is a table whose keys the file chooses, each with a text. check returns what is wrong
// with a text, or nil.
func Pairs(into *map[string]string, check func(text string) error) Value {
	return pairsValue{into, check}
}

type pairsValue struct {
	into  *map[string]string
	check func(text string) error
}

func (pairsValue) set(any) error { return nil } // fill does it

func (v pairsValue) fill(r *report, path string, found map[string]any) {
	for name, text := range found {
		if err := v.setPair(name, text); err != nil {
			r.add(join(path, name), "%s", err)
		}
	}
}

// setPair sets one key of the table.
func (v pairsValue) setPair(name string, found any) error {
	text, ok := found.(string)
	if !ok {
		return errNotText(found)
	}
	if *v.into == nil {
		*v.into = map[string]string{}
	}
	(*v.into)[name] = text // also if it is wrong, so that the problem does not cause others
	return v.check(text)
}

func (v pairsValue) String() string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(*v.into)) {
		pairs = append(pairs, fmt.Sprintf("%s = %q", name, (*v.into)[name]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

// Gone is a key of another program that has no meaning here. hint says what to do instead.
func Gone(hint string) Value { return goneValue{hint} }

type goneValue struct{ hint string }

func (v goneValue) set(any) error  { return errors.New(v.hint) }
func (v goneValue) String() string { return "" }
