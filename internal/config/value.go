package config

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String is any text.
func String(into *string) Value { return stringValue{into} }

type stringValue struct{ into *string }

func (v stringValue) set(found any) error {
	s, ok := found.(string)
	if !ok {
		return errNotText(found)
	}
	*v.into = s
	return nil
}

func (v stringValue) String() string { return strconv.Quote(*v.into) }

func errNotText(found any) error {
	return fmt.Errorf("expected text in quotes, found %s", show(found))
}

// OneOf is one of the given words.
func OneOf(into *string, words ...string) Value { return wordValue{into, words} }

type wordValue struct {
	into  *string
	words []string
}

func (v wordValue) set(found any) error {
	if s, ok := found.(string); ok && slices.Contains(v.words, s) {
		*v.into = s
		return nil
	}
	return fmt.Errorf("%s is not one of %s", show(found), strings.Join(v.words, ", "))
}

func (v wordValue) String() string { return strconv.Quote(*v.into) }

// Bool is true or false.
func Bool(into *bool) Value { return boolValue{into} }

type boolValue struct{ into *bool }

func (v boolValue) set(found any) error {
	b, ok := found.(bool)
	if !ok {
		return fmt.Errorf("expected true or false without quotes, found %s", show(found))
	}
	*v.into = b
	return nil
}

func (v boolValue) String() string { return strconv.FormatBool(*v.into) }

// Int is a whole number from min to max, both included.
func Int(into *int64, min, max int64) Value { return intValue{into, min, max} }

type intValue struct {
	into     *int64
	min, max int64
}

func (v intValue) set(found any) error {
	n, ok := found.(int64)
	if !ok {
		return fmt.Errorf("expected a whole number from %d to %d, found %s", v.min, v.max, show(found))
	}
	if n < v.min || n > v.max {
		return fmt.Errorf("%d is out of range; it must be from %d to %d", n, v.min, v.max)
	}
	*v.into = n
	return nil
}

func (v intValue) String() string { return strconv.FormatInt(*v.into, 10) }

// Duration is a duration with its unit, such as "90s" or "7d", from min to max. With a min
// of 0 or -1 the file may also hold a bare 0 or -1, which mean "no limit".
func Duration(into *time.Duration, min, max time.Duration) Value {
	return durationValue{into, min, max, ""}
}

// DurationOr is a Duration for which the file may also hold the given word, which stands for 0.
func DurationOr(word string, into *time.Duration, min, max time.Duration) Value {
	return durationValue{into, min, max, word}
}

type durationValue struct {
	into     *time.Duration
	min, max time.Duration
	word     string
}

func (v durationValue) set(found any) error {
	if v.word != "" && found == v.word {
		*v.into = 0
		return nil
	}
	d, err := parseUnits(found, int64(v.min), "90s, 5m or 7d"+orWord(v.word), ParseDuration)
	if err != nil {
		return err
	}
	if d < v.min || d > v.max {
		return fmt.Errorf("%s is out of range; it must be from %s to %s",
			show(found), FormatDuration(max(v.min, 0)), FormatDuration(v.max))
	}
	*v.into = d
	return nil
}

// orWord returns what follows the examples in an error if the file may also hold the word; nothing if empty.
func orWord(word string) string {
	if word == "" {
		return ""
	}
	return ", or " + strconv.Quote(word)
}

func (v durationValue) String() string {
	if v.word != "" && *v.into == 0 {
		return strconv.Quote(v.word)
	}
	return quoteUnit(int64(*v.into), FormatDuration(*v.into))
}

// Size is a number of bytes with its unit, such as "64KiB", from min to max. With a min of 0
// or -1 the file may also hold a bare 0 or -1, which mean "no limit".
func Size(into *int64, min, max int64) Value { return sizeValue{into, min, max, ""} }

// SizeOr is a Size for which the file may also hold the given word, which stands for 0.
func SizeOr(word string, into *int64, min, max int64) Value {
	return sizeValue{into, min, max, word}
}

type sizeValue struct {
	into     *int64
	min, max int64
	word     string
}

func (v sizeValue) set(found any) error {
	if v.word != "" && found == v.word {
		*v.into = 0
		return nil
	}
	n, err := parseUnits(found, v.min, "64KiB or 20GiB"+orWord(v.word), ParseSize)
	if err != nil {
		return err
	}
	if n < v.min || n > v.max {
		return fmt.Errorf("%s is out of range; it must be from %s to %s",
			show(found), FormatSize(max(v.min, 0)), FormatSize(v.max))
	}
	*v.into = n
	return nil
}

func (v sizeValue) String() string {
	if v.word != "" && *v.into == 0 {
		return strconv.Quote(v.word)
	}
	return quoteUnit(*v.into, FormatSize(*v.into))
}

// Strings is a list of texts; a single text is a list of one.
func Strings(into *[]string) Value { return stringsValue{into} }

type stringsValue struct{ into *[]string }

func (v stringsValue) set(found any) error {
	if s, ok := found.(string); ok {
		*v.into = []string{s}
		return nil
	}
	list, ok := found.([]any)
	if !ok {
		return fmt.Errorf("expected a list of texts such as [\"a\", \"b\"], found %s", show(found))
	}
	texts := make([]string, 0, len(list))
	for _, entry := range list {
		s, ok := entry.(string)
		if !ok {
			return fmt.Errorf("expected text in quotes in the list, found %s", show(entry))
		}
		texts = append(texts, s)
	}
	*v.into = texts
	return nil
}

func (v stringsValue) String() string {
	quoted := make([]string, len(*v.into))
	for i, s := range *v.into {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// SubTable is a table inside a table.
func SubTable(t Table) Value { return tableValue{t} }

type tableValue struct{ Table }

func (tableValue) set(any) error  { return nil } // fill does it
func (tableValue) String() string { return "" }

func (v tableValue) fill(r *report, path string, found map[string]any) { r.fill(path, v.Table, found) }

// NamedTables is a table of tables, each under a name that the file chooses. A table of the file is
// laid over the entry of that name; if there is none, over a new one from create.
func NamedTables[T Table](into map[string]T, create func(name string) T) Value {
	return namedValue{
		open: func(name string) Table {
			entry, ok := into[name]
			if !ok {
				entry = create(name)
				into[name] = entry
			}
			return entry
		},
		each: func() iter.Seq2[string, Table] {
			return func(yield func(string, Table) bool) {
				for _, name := range slices.Sorted(maps.Keys(into)) {
					if !yield(name, into[name]) {
						return
					}
				}
			}
		},
	}
}

type namedValue struct {
	open func(name string) Table         // returns the entry; adds it if it is missing
	each func() iter.Seq2[string, Table] // all entries, in the order of their names
}

func (namedValue) set(any) error  { return nil } // fill does it
func (namedValue) String() string { return "" }

func (v namedValue) fill(r *report, path string, found map[string]any) {
	for name, entry := range found {
		if table, ok := r.asTable(join(path, name), entry); ok {
			r.fill(join(path, name), v.open(name), table)
		}
	}
}

// show returns a found value as a person would write it.
func show(found any) string {
	switch v := found.(type) {
	case string:
		return strconv.Quote(v)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	default:
		return fmt.Sprint(v)
	}
}
