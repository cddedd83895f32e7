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

// Filter selects nodes: one of the identities, and each of the others. Choria's servers match
// themselves against it; here it is matched against what is known of them.
type Filter struct {
	Facts      []FactFilter `json:"fact"`
	Classes    []string     `json:"cf_class"`
	Agents     []string     `json:"agent"`
	Identities []string     `json:"identity"`
	Compound   [][]any      `json:"compound"` // https://expr-lang.org, with Choria's own functions
}

// FactFilter is a condition on a fact, which a GJSON path names.
type FactFilter struct {
	Fact     string `json:"fact"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
}

// writtenFilter is a condition as people write it: os.name=Debian.
var writtenFilter = regexp.MustCompile(`^([^=~!<>\s]+)\s*(==|=~|!=|<=|>=|=<|=>|=|<|>)\s*(\S.*)$`)

// ParseFactFilter reads a condition in the form of Choria's command line, where = means ==, or
// =~ before a regular expression in slashes.
func ParseFactFilter(text string) (FactFilter, error) {
	parts := writtenFilter.FindStringSubmatch(text)
	if parts == nil {
		return FactFilter{}, fmt.Errorf("%q is no condition on a fact; write it as os.name=Debian, with =, ==, !=, =~, <, <=, > or >=", text)
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

// String is the condition as ParseFactFilter reads it.
func (f FactFilter) String() string { return f.Fact + " " + f.Operator + " " + f.Value }

// Matcher tells which values meet the condition: JSON as it was registered, or nothing where
// the node has no such fact, which meets no condition.
func (f FactFilter) Matcher() (func(value string) bool, error) {
	meets, err := f.condition()
	if err != nil {
		return nil, err
	}
	return func(value string) bool {
		fact := gjson.Parse(value)
		switch fact.Type {
		case gjson.String, gjson.Number, gjson.True, gjson.False:
			return meets(fact)
		default: // nothing, null, objects and lists
			return false
		}
	}, nil
}

func (f FactFilter) condition() (func(gjson.Result) bool, error) {
	switch f.Operator {
	case "==":
		return f.equal, nil
	case "!=":
		return func(fact gjson.Result) bool { return !f.equal(fact) }, nil
	case "=~":
		pattern, err := compile(strings.Trim(f.Value, "/"))
		return func(fact gjson.Result) bool { return f.like(fact, pattern) }, err
	case "<":
		return func(fact gjson.Result) bool { c, ok := f.compare(fact); return ok && c < 0 }, nil
	case "<=":
		return func(fact gjson.Result) bool { c, ok := f.compare(fact); return ok && c <= 0 }, nil
	case ">":
		return func(fact gjson.Result) bool { c, ok := f.compare(fact); return ok && c > 0 }, nil
	case ">=":
		return func(fact gjson.Result) bool { c, ok := f.compare(fact); return ok && c >= 0 }, nil
	default:
		return nil, fmt.Errorf("%q compares no facts; want ==, !=, =~, <, <=, > or >=", f.Operator)
	}
}

// equal compares text without case, and numbers and booleans as such.
func (f FactFilter) equal(fact gjson.Result) bool {
	switch fact.Type {
	case gjson.String:
		return strings.EqualFold(fact.Str, f.Value)
	case gjson.Number:
		c, ok := f.compare(fact)
		return ok && c == 0
	default:
		return means(fact.Bool(), f.Value)
	}
}

func (f FactFilter) like(fact gjson.Result, pattern *regexp.Regexp) bool {
	switch {
	case fact.Type == gjson.String:
		return pattern.MatchString(fact.Str)
	case fact.Type != gjson.Number:
		return means(fact.Bool(), strings.Trim(f.Value, "/"))
	case strings.Contains(f.Value, "."):
		return pattern.MatchString(strconv.FormatFloat(fact.Num, 'f', 4, 64))
	default:
		return pattern.MatchString(strconv.FormatInt(fact.Int(), 10))
	}
}

// means tells whether the text stands for the boolean.
func means(b bool, text string) bool {
	words := []string{"0", "false", "no", "n", "f"}
	if b {
		words = []string{"1", "true", "yes", "y", "t"}
	}
	return slices.Contains(words, strings.ToLower(text))
}

// compare is less, equal or more for text and numbers. A number is compared as an integer,
// cut where it is none, unless the value has a point.
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

// NameMatcher tells which names a filter of identities matches: that name, or what the
// regular expression in slashes matches.
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

// MemberMatcher is the same for classes and agents, where one of several has to match,
// without case.
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

// IsRegexp tells whether a filter is a regular expression.
func IsRegexp(filter string) bool {
	return len(filter) > 1 && filter[0] == '/' && filter[len(filter)-1] == '/'
}

// compile reads a regular expression, see https://github.com/google/re2/wiki/Syntax.
func compile(pattern string) (*regexp.Regexp, error) {
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", pattern, err)
	}
	return compiled, nil
}
