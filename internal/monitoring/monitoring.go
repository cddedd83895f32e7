// Package health judges figures as monitoring plugins do, see
// https://www.monitoring-plugins.org/doc/guidelines.html: what is warning, what is critical,
// and how that is written.
package monitoring

import (
	"fmt"
	"strconv"
	"strings"
)

// Status is the exit status of a check. UNKNOWN is for who could not look; it is worse than
// WARNING and less than CRITICAL.
type Status int

// The four that there are.
const (
	OK Status = iota
	Warning
	Critical
	Unknown
)

func (s Status) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s] }

// worse is how bad a status is.
var worse = map[Status]int{OK: 0, Warning: 1, Unknown: 2, Critical: 3}

// Thresholds are from which figure on something is wrong: a number, or a share of a whole.
// Where critical is less than warning, too few are wrong.
type Thresholds struct {
	warning, critical float64
	share             bool // per cent
	set               bool
}

// ParseThresholds reads "5,20", "1%,10%" or, for too few, "90,50". Empty: nothing is wrong.
func ParseThresholds(text string) (Thresholds, error) {
	if text == "" {
		return Thresholds{}, nil
	}
	wrong := fmt.Errorf(`%q are no thresholds; write warning and critical as "5,20" or "1%%,10%%", and for too few as "90,50"`, text)
	parts := strings.Split(text, ",")
	if len(parts) != 2 || strings.HasSuffix(parts[0], "%") != strings.HasSuffix(parts[1], "%") {
		return Thresholds{}, wrong
	}
	t := Thresholds{share: strings.HasSuffix(parts[0], "%"), set: true}
	for i, to := range []*float64{&t.warning, &t.critical} {
		value, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(parts[i]), "%"), 64)
		if err != nil || !(value >= 0 && value <= 1e15) { // no infinity, and no NaN
			return Thresholds{}, wrong
		}
		*to = value
	}
	return t, nil
}

// IsSet tells whether there are any.
func (t Thresholds) IsSet() bool { return t.set }

// of are the thresholds as figures of that whole.
func (t Thresholds) of(whole float64) (warning, critical float64) {
	if t.share {
		return t.warning * whole / 100, t.critical * whole / 100
	}
	return t.warning, t.critical
}

// Item is one figure, judged.
type Item struct {
	Name     string   `json:"name"`
	Status   Status   `json:"-"`
	Word     string   `json:"status"`
	Text     string   `json:"text"`
	Value    *float64 `json:"value,omitempty"` // nil: it is no figure
	Warning  float64  `json:"warning,omitempty"`
	Critical float64  `json:"critical,omitempty"`

	fewer bool // too few are wrong
	set   bool // there are thresholds
}

// Result is all figures of a check.
type Result struct {
	Items []Item
}

// Evaluate adds a figure. Of a whole that is nothing, no share is too many or too few.
func (r *Result) Evaluate(name, text string, value, whole float64, t Thresholds) Status {
	i := Item{Name: name, Text: text, Value: &value, set: t.set, fewer: t.critical < t.warning}
	i.Warning, i.Critical = t.of(whole)
	beyond := func(limit float64) bool {
		if i.fewer {
			return value <= limit
		}
		return value >= limit
	}
	switch {
	case !t.set || t.share && whole == 0:
	case beyond(i.Critical):
		i.Status = Critical
	case beyond(i.Warning):
		i.Status = Warning
	}
	r.add(i)
	return i.Status
}

// AddStatus adds what is no figure.
func (r *Result) AddStatus(name, text string, status Status) {
	r.add(Item{Name: name, Text: text, Status: status})
}

func (r *Result) add(i Item) {
	i.Word = i.Status.String()
	r.Items = append(r.Items, i)
}

// Status is the worst of all.
func (r *Result) Status() Status {
	status := OK
	for _, i := range r.Items {
		if worse[i.Status] > worse[status] {
			status = i.Status
		}
	}
	return status
}
