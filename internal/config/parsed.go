package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ParsedList is a list of texts that parse turns into values; a single text is a list of one.
// format returns the text of a value, as a file would write it. The problem of the key names
// every text that cannot be parsed, followed by the error of parse.
func ParsedList[T any](into *[]T, parse func(text string) (T, error), format func(T) string) Value {
	return parsedList[T]{into, parse, format}
}

type parsedList[T any] struct {
	into   *[]T
	parse  func(string) (T, error)
	format func(T) string
}

func (v parsedList[T]) set(found any) error {
	var texts []string
	if err := Strings(&texts).set(found); err != nil {
		return err
	}
	values := make([]T, 0, len(texts))
	var problems []string
	for _, text := range texts {
		value, err := v.parse(text)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%.80q %s", text, err))
		}
		values = append(values, value) // also if it is wrong, so that the problem does not cause others
	}
	*v.into = values
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

func (v parsedList[T]) String() string {
	quoted := make([]string, len(*v.into))
	for i, value := range *v.into {
		quoted[i] = strconv.Quote(v.format(value))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Pairs is a table whose keys the file chooses, each with a text. check returns what is wrong
// with a text, or nil.
func Pairs(into *map[string]string, check func(text string) error) Value {
	parse := func(text string) (string, error) { return text, check(text) }
	return ParsedPairs(into, parse, func(text string) string { return text })
}

// ParsedPairs is a table whose keys the file chooses, each with a text that parse turns into
// a value. format returns the text of a value, as a file would write it.
func ParsedPairs[M ~map[string]T, T any](into *M, parse func(text string) (T, error), format func(T) string) Value {
	return parsedPairs[M, T]{into, parse, format}
}

type parsedPairs[M ~map[string]T, T any] struct {
	into   *M
	parse  func(string) (T, error)
	format func(T) string
}

// pairs marks a table whose keys the file chooses, for the manual.
func (parsedPairs[M, T]) pairs() {}

func (parsedPairs[M, T]) set(any) error { return nil } // fill does it

func (v parsedPairs[M, T]) fill(r *report, path string, found map[string]any) {
	for name, text := range found {
		if err := v.setPair(name, text); err != nil {
			r.add(join(path, name), "%s", err)
		}
	}
}

func (v parsedPairs[M, T]) setPair(name string, found any) error {
	text, ok := found.(string)
	if _, dotted := found.(map[string]any); dotted {
		return fmt.Errorf(`%w; write a name with dots in quotes: "%s.…" = …`, errNotText(found), name)
	}
	if !ok {
		return errNotText(found)
	}
	if *v.into == nil {
		*v.into = M{}
	}
	value, err := v.parse(text)
	(*v.into)[name] = value // also if it is wrong, so that the problem does not cause others
	return err
}

func (v parsedPairs[M, T]) String() string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(*v.into)) {
		texts = append(texts, fmt.Sprintf("%s = %q", name, v.format((*v.into)[name])))
	}
	return "{" + strings.Join(texts, ", ") + "}"
}

// Prefixes is a list of addresses and networks, such as "10.1.0.0/16". An address is the
// network that holds it alone.
func Prefixes(into *[]netip.Prefix) Value { return ParsedList(into, parsePrefix, formatPrefix) }

func parsePrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
		prefix, err = addr.Prefix(addr.BitLen())
	}
	if err != nil {
		return netip.Prefix{}, errors.New("is neither an address nor a network such as 10.1.0.0/16")
	}
	return prefix.Masked(), nil
}

func formatPrefix(prefix netip.Prefix) string {
	if prefix.IsSingleIP() {
		return prefix.Addr().String()
	}
	return prefix.String()
}
