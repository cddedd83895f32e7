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
		return fmt.Errorf("%s where text is wanted; write it in quotes", show(found))
	}
	*v.into = s
	return nil
}

func (v stringValue) String() string { return strconv.Quote(*v.into) }

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
		return fmt.Errorf("%s where true or false is wanted; write it without quotes", show(found))
	}
	*v.into = b
	return nil
}

func (v boolValue) String() string { return strconv.FormatBool(*v.into) }

// Int is a whole number between least and most, both included.
func Int(into *int64, least, most int64) Value { return intValue{into, least, most} }

type intValue struct {
	into        *int64
	least, most int64
}

func (v intValue) set(found any) error {
	n, ok := found.(int64)
	if !ok {
		return fmt.Errorf("%s where a whole number is wanted, from %d to %d", show(found), v.least, v.most)
	}
	if n < v.least || n > v.most {
		return fmt.Errorf("%d is out of range; it may be %d to %d", n, v.least, v.most)
	}
	*v.into = n
	return nil
}

func (v intValue) String() string { return strconv.FormatInt(*v.into, 10) }

// Duration is a time with its unit, such as "90s" or "7d", between least and most.
// A least of 0 or -1 allows these numbers without a unit, where they mean "no limit".
func Duration(into *time.Duration, least, most time.Duration) Value {
	return durationValue{into, least, most}
}

type durationValue struct {
	into        *time.Duration
	least, most time.Duration
}

func (v durationValue) set(found any) error {
	d, err := parseUnits(found, int64(v.least), "90s, 5m or 7d", ParseDuration)
	if err != nil {
		return err
	}
	if d < v.least || d > v.most {
		return fmt.Errorf("%s is out of range; it may be %s to %s",
			show(found), FormatDuration(max(v.least, 0)), FormatDuration(v.most))
	}
	*v.into = d
	return nil
}

func (v durationValue) String() string { return quoteUnit(int64(*v.into), FormatDuration(*v.into)) }

// Size is a number of bytes with its unit, such as "64KiB", between least and most.
// A least of 0 or -1 allows these numbers without a unit, where they mean "no limit".
func Size(into *int64, least, most int64) Value { return sizeValue{into, least, most, ""} }

// SizeOr is a Size that may also be the given word, which stands for 0.
func SizeOr(word string, into *int64, least, most int64) Value {
	return sizeValue{into, least, most, word}
}

type sizeValue struct {
	into        *int64
	least, most int64
	word        string
}

func (v sizeValue) set(found any) error {
	if v.word != "" && found == v.word {
		*v.into = 0
		return nil
	}
	n, err := parseUnits(found, v.least, "64KiB or 20GiB", ParseSize)
	if err != nil {
		return err
	}
	if n < v.least || n > v.most {
		return fmt.Errorf("%s is out of range; it may be %s to %s",
			show(found), FormatSize(max(v.least, 0)), FormatSize(v.most))
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
		return fmt.Errorf("%s where a list of texts is wanted, such as [\"a\", \"b\"]", show(found))
	}
	texts := make([]string, 0, len(list))
	for _, entry := range list {
		s, ok := entry.(string)
		if !ok {
			return fmt.Errorf("%s in a list of texts; write it in quotes", show(entry))
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

// Sub is a table inside a table.
func Sub(t Table) Value { return tableValue{t} }

type tableValue struct{ Table }

func (tableValue) set(any) error  { return nil }
func (tableValue) String() string { return "" }

// Named is a table of tables, each under a name that the file chooses. A name that is in
// the map already is changed by the file; for another, create makes what it starts from.
func Named[T Table](into map[string]T, create func(name string) T) Value {
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
	open func(name string) Table
	each func() iter.Seq2[string, Table]
}

func (namedValue) set(any) error  { return nil }
func (namedValue) String() string { return "" }

// show is a found value as a person would write it.
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
