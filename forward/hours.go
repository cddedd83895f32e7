package forward

import (
	"fmt"
	"strings"
	"time"
)

// Hours is a time of day: from one minute to another one, which may be on the next day.
type Hours struct {
	from, to time.Duration // since midnight, in local time
}

// clockFormat is the form of a time of day.
const clockFormat = "15:04"

// ParseHours parses a text such as "22:00-06:00".
func ParseHours(text string) (Hours, error) {
	from, to, _ := strings.Cut(text, "-")
	begin, err := parseClock(from)
	end, otherErr := parseClock(to)
	if err != nil || otherErr != nil || begin == end {
		return Hours{}, fmt.Errorf(`%q is not a valid time of day; write a beginning and an end, such as "22:00-06:00"`, text)
	}
	return Hours{begin, end}, nil
}

func parseClock(text string) (time.Duration, error) {
	t, err := time.Parse(clockFormat, strings.TrimSpace(text))
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, err
}

// String returns the text that ParseHours parses.
func (h Hours) String() string {
	format := func(d time.Duration) string { return time.Time{}.Add(d).Format(clockFormat) }
	return format(h.from) + "-" + format(h.to)
}

// contains reports whether a time is within the hours. A day with a change of the clock counts by its wall clock.
func (h Hours) contains(now time.Time) bool {
	at := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute
	if h.from < h.to {
		return h.from <= at && at < h.to
	}
	return at >= h.from || at < h.to
}

// isWithin reports whether a time is within one of the hours. Every time is if none are configured.
func isWithin(hours []Hours, now time.Time) bool {
	for _, h := range hours {
		if h.contains(now.Local()) {
			return true
		}
	}
	return len(hours) == 0
}
