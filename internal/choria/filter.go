package choria

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Filter selects nodes. A node matches if it matches one of the identities, or there are none,
// and every fact, class and agent filter. In Choria each server applies the filter to itself;
// Muster applies it to what the fleet view knows of the nodes.
type Filter struct {
	Facts      []FactFilter `json:"fact"`
	Classes    []string     `json:"cf_class"`
	Agents     []string     `json:"agent"`
	Identities []string     `json:"identity"`
	Compound   [][]any      `json:"compound"` // expressions, see https://expr-lang.org; not supported
}

// FactFilter compares a fact of a node with a value.
type FactFilter struct {
	Fact     string `json:"fact"`     // a GJSON path, see https://github.com/tidwall/gjson
	Operator string `json:"operator"` // ==, !=, =~, <, <=, > or >=
	Value    string `json:"value"`
}

// factFilterPattern splits a condition such as os.name=Debian into fact, operator and value.
var factFilterPattern = regexp.MustCompile(`^([^=~!<>\s]+)\s*(==|=~|!=|<=|>=|=<|=>|=|<|>)\s*(\S.*)$`)

// ParseFactFilter parses a condition in the form that Choria's command line uses. The operator
// = means =~ if the value is a regular expression in slashes, otherwise ==; =< and => mean <=
// and >=.
func ParseFactFilter(text string) (FactFilter, error) {
	parts := factFilterPattern.FindStringSubmatch(text)
	if parts == nil {
		const hint = "write it as os.name=Debian, with =, ==, !=, =~, <, <=, > or >="
		return FactFilter{}, fmt.Errorf("%q is not a valid fact filter; %s", text, hint)
	}
	f := FactFilter{Fact: parts[1], Operator: parts[2], Value: parts[3]}
	switch f.Operator {
	case "=<":
		f.Operator = "<="
	case "=>":
		f.Operator = ">="
	case "=":
		f.Operator = "=="
		if IsRegexp(f.Value) {
			f.Operator = "=~"
		}
	}
	return f, nil
}

// String returns the condition in the form that ParseFactFilter parses.
func (f FactFilter) String() string { return f.Fact + " " + f.Operator + " " + f.Value }

// Matcher returns a function that reports whether a value meets the condition. The value is the
// JSON text that the node registered, or empty if the node has no such fact. A missing fact, null,
// an object and an array meet no condition, not even !=.
func (f FactFilter) Matcher() (func(value string) bool, error) {
	matches, err := f.condition()
	if err != nil {
		return nil, err
	}
	return func(value string) bool {
		fact := gjson.Parse(value)
		switch fact.Type {
		case gjson.String, gjson.Number, gjson.True, gjson.False:
			return matches(fact)
		default: // missing, null, objects and arrays
			return false
		}
	}, nil
}

// condition returns the comparison for the operator. It is called with strings, numbers and
// booleans only.
func (f FactFilter) condition() (func(gjson.Result) bool, error) {
	switch f.Operator {
	case "==":
		return f.equal, nil
	case "!=":
		return func(fact gjson.Result) bool { return !f.equal(fact) }, nil
	case "=~":
		pattern, err := compile(strings.Trim(f.Value, "/"))
		return func(fact gjson.Result) bool { return f.matchesRegexp(fact, pattern) }, err
	case "<":
		return func(fact gjson.Result) bool { c, ok := f.compare(fact); return ok && c < 0 }, nil
	case "<=":
		return func(fact gjson.Result) bool { c, ok := f.compare(fact); return ok && c <= 0 }, nil
	case ">":
		return func(fact gjson.Result) bool { c, ok := f.compare(fact); return ok && c > 0 }, nil
	case ">=":
		return func(fact gjson.Result) bool { c, ok := f.compare(fact); return ok && c >= 0 }, nil
	default:
		return nil, fmt.Errorf("%q is not a valid operator; use ==, !=, =~, <, <=, > or >=", f.Operator)
	}
}

// equal compares strings without regard to case, and numbers and booleans by value.
func (f FactFilter) equal(fact gjson.Result) bool {
	switch fact.Type {
	case gjson.String:
		return strings.EqualFold(fact.Str, f.Value)
	case gjson.Number:
		c, ok := f.compare(fact)
		return ok && c == 0
	default:
		return boolMatches(fact.Bool(), f.Value)
	}
}

// matchesRegexp applies the pattern to a string or to the digits of a number: four decimals if
// the value contains a point, none otherwise. A boolean is compared by value, as Choria does.
func (f FactFilter) matchesRegexp(fact gjson.Result, pattern *regexp.Regexp) bool {
	switch {
	case fact.Type == gjson.String:
		return pattern.MatchString(fact.Str)
	case fact.Type != gjson.Number:
		return boolMatches(fact.Bool(), strings.Trim(f.Value, "/"))
	case strings.Contains(f.Value, "."):
		return pattern.MatchString(strconv.FormatFloat(fact.Num, 'f', 4, 64))
	default:
		return pattern.MatchString(strconv.FormatInt(fact.Int(), 10))
	}
}

// boolMatches reports whether the text is one of the words for the boolean b.
func boolMatches(b bool, text string) bool {
	words := []string{"0", "false", "no", "n", "f"}
	if b {
		words = []string{"1", "true", "yes", "y", "t"}
	}
	return slices.Contains(words, strings.ToLower(text))
}

// compare orders a string or a number and the value: below 0, 0 or above 0, and ok. A number is
// truncated to an integer unless the value contains a point. ok is false for booleans, and for a
// number if the value is not one.
func (f FactFilter) compare(fact gjson.Result) (order int, ok bool) {
	switch {
	case fact.Type == gjson.String:
		return strings.Compare(fact.Str, f.Value), true
	case fact.Type != gjson.Number:
		return 0, false
	case strings.Contains(f.Value, "."):
		value, err := strconv.ParseFloat(f.Value, 64)
		return cmp.Compare(fact.Num, value), err == nil
	default:
		value, err := strconv.ParseInt(f.Value, 10, 64)
		return cmp.Compare(fact.Int(), value), err == nil
	}
}

// NameMatcher returns a function that reports whether a name matches a filter on identities:
// the exact name, or a regular expression in slashes.
func NameMatcher(filter string) (func(name string) bool, error) {
	if !IsRegexp(filter) {
		return func(name string) bool { return name == filter }, nil
	}
	pattern, err := compile(filter[1 : len(filter)-1])
	if err != nil {
		return nil, err
	}
	return pattern.MatchString, nil
}

// MemberMatcher returns a function that reports whether one of a node's classes or agents matches
// a filter: a name or a regular expression in slashes, without regard to case.
func MemberMatcher(filter string) (func(names []string) bool, error) {
	match := func(name string) bool { return strings.EqualFold(name, filter) }
	if IsRegexp(filter) {
		pattern, err := compile("(?i)" + filter[1:len(filter)-1])
		if err != nil {
			return nil, err
		}
		match = pattern.MatchString
	}
	return func(names []string) bool { return slices.ContainsFunc(names, match) }, nil
}

// IsRegexp reports whether a filter is a regular expression in slashes.
func IsRegexp(filter string) bool {
	return len(filter) > 1 && filter[0] == '/' && filter[len(filter)-1] == '/'
}

// compile compiles a regular expression; for the syntax see
// https://github.com/google/re2/wiki/Syntax.
func compile(pattern string) (*regexp.Regexp, error) {
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%q is not a valid regular expression: %w", pattern, err)
	}
	return compiled, nil
}
