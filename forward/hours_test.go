package forward

import (
	"testing"
	"time"
)

func TestParseHours(t *testing.T) {
	for text, want := range map[string]string{
		"22:00-06:00":      "22:00-06:00",
		"09:30-17:00":      "09:30-17:00",
		" 09:30 - 17:00 ":  "09:30-17:00",
		"9:30-17:00":       "09:30-17:00",
		"00:00-23:59":      "00:00-23:59",
		"":                 "",
		"22:00":            "",
		"22:00-":           "",
		"22:00-22:00":      "",
		"22:00-24:00":      "",
		"22:00-06:60":      "",
		"22-6":             "",
		"22:00-06:00-07:0": "",
		"night":            "",
	} {
		t.Run(text, func(t *testing.T) {
			h, err := ParseHours(text)
			if (err == nil) != (want != "") {
				t.Fatalf("have %v", err)
			}
			if err == nil && h.String() != want {
				t.Errorf("have %s, want %s", h, want)
			}
		})
	}
}

func TestOpen_WithinHours(t *testing.T) {
	night, noon := "22:00-06:00", "12:00-13:00"
	for name, test := range map[string]struct {
		hours []string
		at    string
		want  bool
	}{
		"always":                {nil, "03:00", true},
		"before":                {[]string{noon}, "11:59", false},
		"at the beginning":      {[]string{noon}, "12:00", true},
		"at the end":            {[]string{noon}, "13:00", false},
		"last minute":           {[]string{noon}, "12:59", true},
		"night, evening before": {[]string{night}, "21:59", false},
		"night, evening":        {[]string{night}, "22:00", true},
		"night, midnight":       {[]string{night}, "00:00", true},
		"night, morning":        {[]string{night}, "05:59", true},
		"night, morning after":  {[]string{night}, "06:00", false},
		"second of two":         {[]string{night, noon}, "12:30", true},
		"between two":           {[]string{night, noon}, "14:00", false},
	} {
		t.Run(name, func(t *testing.T) {
			var hours []Hours
			for _, text := range test.hours {
				h, err := ParseHours(text)
				if err != nil {
					t.Fatal(err)
				}
				hours = append(hours, h)
			}
			clock, err := time.Parse("15:04", test.at)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Date(2026, 11, 26, clock.Hour(), clock.Minute(), 59, 0, time.Local)
			if have := isWithin(hours, now); have != test.want {
				t.Errorf("in local time: have %v", have)
			}
			if have := isWithin(hours, now.UTC()); have != test.want {
				t.Errorf("the same moment in UTC: have %v", have)
			}
		})
	}
}
