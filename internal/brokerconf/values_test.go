package brokerconf

import (
	"testing"
	"time"
)

func TestDuration_ParsesAsChoriaDoes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5": 5 * time.Second, "0": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "3m": 3 * time.Minute,
		"1d": day, "2w": 14 * day, "1M": 30 * day, "1y": 365 * day, "1.5d": 36 * time.Hour,
	} {
		t.Run(text, func(t *testing.T) {
			if have, err := duration(text); err != nil || have != want {
				t.Errorf("have %s %v, want %s", have, err, want)
			}
		})
	}
	for _, text := range []string{"x", "d", "1x", "-1d", "NaNd", "1d1h", "9999y", "1 d "} {
		t.Run(text, func(t *testing.T) {
			if have, err := duration(text); err == nil {
				t.Errorf("have %s, want an error", have)
			}
		})
	}
}

func TestPattern_MatchesSameNames(t *testing.T) {
	for expression, want := range map[string]string{ // empty: an error
		`\.mcollective$`: "*.mcollective", `^bob$`: "bob", `^a\.b-c\.d$`: "a.b-c.d", `mcollective$`: "*mcollective",
		`.*`: "", `^a`: "", `a`: "", `(a|b)$`: "", `a.b$`: "", `\.a`: "", ``: "", `^$`: "", `[a]$`: "",
	} {
		t.Run(expression, func(t *testing.T) {
			if have, err := pattern(expression); have != want || (want == "") != (err != nil) {
				t.Errorf("have %q %v, want %q", have, err, want)
			}
		})
	}
}
