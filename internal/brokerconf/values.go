package brokerconf

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// list splits a value at commas, as Choria does, and drops duplicates.
func list(value string) (texts []string) {
	for text := range strings.SplitSeq(value, ",") {
		if text = strings.TrimSpace(text); text != "" && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// isTrue reports whether Choria reads a value as true. It reads every other value as false.
func isTrue(value string) bool {
	return slices.Contains([]string{"1", "yes", "true", "y", "t"}, strings.ToLower(value))
}

// isFalse reports whether a value is one of the words for false.
func isFalse(value string) bool {
	return slices.Contains([]string{"0", "no", "false", "n", "f"}, strings.ToLower(value))
}

const day = 24 * time.Hour

// units are the units of durations that Choria adds to Go's; M is a month of 30 days.
var units = map[byte]time.Duration{'d': day, 'w': 7 * day, 'M': 30 * day, 'y': 365 * day}

// duration parses a duration as Choria does: whole seconds, a number with one of the units, or Go's
// form. The value must not be empty.
func duration(value string) (time.Duration, error) {
	invalid := fmt.Errorf("%q is not a duration that Choria reads", value)
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	if unit, ok := units[value[len(value)-1]]; ok {
		n, err := strconv.ParseFloat(value[:len(value)-1], 64)
		if err != nil || !(n >= 0 && n*unit.Hours() < 24*365*200) {
			return 0, invalid
		}
		return time.Duration(n * float64(unit)), nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, invalid
	}
	return d, nil
}

var (
	// suffixRegexp and nameRegexp match the regular expressions that patterns can express: those
	// for names with a certain end, and those for a single name.
	suffixRegexp = regexp.MustCompile(`^((?:\\\.)?[A-Za-z0-9@_-]+(?:\\\.[A-Za-z0-9@_-]+)*)\$$`)
	nameRegexp   = regexp.MustCompile(`^\^([A-Za-z0-9@_-]+(?:\\\.[A-Za-z0-9@_-]+)*)\$$`)
)

// pattern returns the pattern with * that matches the same names as the regular expression.
func pattern(expression string) (string, error) {
	unescape := func(text string) string { return strings.ReplaceAll(text, `\.`, ".") }
	if m := nameRegexp.FindStringSubmatch(expression); m != nil {
		return unescape(m[1]), nil
	}
	if m := suffixRegexp.FindStringSubmatch(expression); m != nil {
		return "*" + unescape(m[1]), nil
	}
	return "", errors.New("cannot be expressed as a pattern with *")
}
