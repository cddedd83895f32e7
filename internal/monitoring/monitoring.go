// Package monitoring evaluates measurements against thresholds and writes the results in the
// formats of monitoring systems, see https://www.monitoring-plugins.org/doc/guidelines.html. It
// measures nothing itself.
package monitoring

import (
	"fmt"
	"strconv"
	"strings"
)

// Status is the outcome of a check and the exit status of a monitoring plugin.
type Status int

// The statuses of monitoring plugins. Unknown means that the check could not be made; it is worse
// than Warning and better than Critical.
const (
	OK Status = iota
	Warning
	Critical
	Unknown
)

// String returns the status as monitoring plugins print it.
func (s Status) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s] }

// severity orders the statuses from good to bad.
func (s Status) severity() int { return [...]int{OK: 0, Warning: 1, Unknown: 2, Critical: 3}[s] }

// Thresholds says which values of a measurement are a warning and which are critical, as numbers
// or as percentages of a total. If critical is less than warning, low values are bad. The zero
// value accepts every value.
type Thresholds struct {
	warning, critical float64
	percent           bool // both are percentages of a total
	set               bool
}

// maxThreshold is the largest number that ParseThresholds accepts.
const maxThreshold = 1e15

// ParseThresholds parses "WARNING,CRITICAL", such as "5,20", "1%,10%" or, where low values are bad,
// "90,50". The empty string is the zero Thresholds.
func ParseThresholds(text string) (Thresholds, error) {
	if text == "" {
		return Thresholds{}, nil
	}
	invalid := fmt.Errorf("%q is not a valid pair of thresholds; write WARNING,CRITICAL such as 5,20 or 1%%,10%%, "+
		"or 90,50 if low values are bad", text)
	parts := strings.Split(text, ",")
	if len(parts) != 2 || strings.HasSuffix(parts[0], "%") != strings.HasSuffix(parts[1], "%") {
		return Thresholds{}, invalid
	}
	t := Thresholds{percent: strings.HasSuffix(parts[0], "%"), set: true}
	for i, to := range []*float64{&t.warning, &t.critical} {
		value, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(parts[i]), "%"), 64)
		if err != nil || !(value >= 0 && value <= maxThreshold) { // false for NaN too
			return Thresholds{}, invalid
		}
		*to = value
	}
	return t, nil
}

// IsSet reports whether there are thresholds. Without them every value is OK.
func (t Thresholds) IsSet() bool { return t.set }

// limits returns the thresholds as numbers, percentages applied to the total.
func (t Thresholds) limits(total float64) (warning, critical float64) {
	if t.percent {
		return t.warning * total / 100, t.critical * total / 100
	}
	return t.warning, t.critical
}

// Item is the result for one measurement, or for one condition without a value.
type Item struct {
	Name     string   `json:"name"`
	Status   Status   `json:"-"`
	Word     string   `json:"status"` // Status as text
	Text     string   `json:"text"`
	Value    *float64 `json:"value,omitempty"` // nil for a condition
	Warning  float64  `json:"warning,omitempty"`
	Critical float64  `json:"critical,omitempty"`

	lowIsBad      bool
	hasThresholds bool
}

// Result is all items of a check, in the order in which they were added.
type Result struct {
	Items []Item
}

// Evaluate adds a measurement and returns its status. Percentages are of total; if total is 0,
// a measurement with percentages is OK.
func (r *Result) Evaluate(name, text string, value, total float64, t Thresholds) Status {
	i := Item{Name: name, Text: text, Value: &value, hasThresholds: t.set, lowIsBad: t.critical < t.warning}
	i.Warning, i.Critical = t.limits(total)
	reached := func(limit float64) bool {
		if i.lowIsBad {
			return value <= limit
		}
		return value >= limit
	}
	switch {
	case !t.set || t.percent && total == 0:
	case reached(i.Critical):
		i.Status = Critical
	case reached(i.Warning):
		i.Status = Warning
	}
	r.add(i)
	return i.Status
}

// AddStatus adds a condition: an item that has a status and no value.
func (r *Result) AddStatus(name, text string, status Status) {
	r.add(Item{Name: name, Text: text, Status: status})
}

func (r *Result) add(i Item) {
	i.Word = i.Status.String()
	r.Items = append(r.Items, i)
}

// Status returns the worst status of all items, and OK if there are none.
func (r *Result) Status() Status {
	status := OK
	for _, i := range r.Items {
		if i.Status.severity() > status.severity() {
			status = i.Status
		}
	}
	return status
}
