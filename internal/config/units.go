package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// day and week are units that Go's own durations lack.
const (
	day  = 24 * time.Hour
	week = 7 * day
)

// sizeUnits lists the units of a size, largest first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

var (
	errUnit  = errors.New("has no known unit")
	errRange = errors.New("is too large")
)

// ParseDuration parses a duration with its unit: Go's own (ms, s, m, h and combinations), d for
// 24 hours, w for seven days.
func ParseDuration(s string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": day, "w": week} {
		number, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(n) {
			return 0, errUnit
		}
		if math.Abs(n*float64(unit)) > math.MaxInt64/2 {
			return 0, errRange
		}
		return time.Duration(n * float64(unit)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errUnit
	}
	return d, nil
}

// FormatDuration returns the shortest text from which ParseDuration reads the duration.
func FormatDuration(d time.Duration) string {
	if d != 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// ParseSize parses a number of bytes with its unit: B, KiB, MiB, GiB or TiB.
func ParseSize(s string) (int64, error) {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(n) {
			return 0, errUnit
		}
		if math.Abs(n*float64(unit.bytes)) > math.MaxInt64/2 {
			return 0, errRange
		}
		return int64(n * float64(unit.bytes)), nil
	}
	return 0, errUnit
}

// FormatSize returns the shortest whole number with a unit from which ParseSize reads the size.
func FormatSize(n int64) string {
	for _, unit := range sizeUnits {
		if n != 0 && n%unit.bytes == 0 {
			return fmt.Sprintf("%d%s", n/unit.bytes, unit.name)
		}
	}
	return "0B"
}

// parseUnits parses a quoted number with its unit, or a bare 0 or -1 if min allows it.
func parseUnits[T ~int64](found any, min int64, examples string, parse func(string) (T, error)) (T, error) {
	if n, ok := found.(int64); ok && n <= 0 && n >= min {
		return T(n), nil
	}
	s, ok := found.(string)
	if !ok {
		return 0, fmt.Errorf("%s has no unit; write it in quotes with a unit, such as %s", show(found), examples)
	}
	n, err := parse(s)
	if err != nil {
		return 0, fmt.Errorf("%q %w; write a number with a unit, such as %s", s, err, examples)
	}
	return n, nil
}

// quoteUnit returns the text in quotes; 0 and less are written as bare numbers.
func quoteUnit(n int64, text string) string {
	if n <= 0 {
		return strconv.FormatInt(n, 10)
	}
	return strconv.Quote(text)
}
