package config

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "7d": 7 * day, "2w": 14 * day, "1h30m": 90 * time.Minute, "0.5d": 12 * time.Hour,
	} {
		t.Run(text, func(t *testing.T) {
			if have, err := ParseDuration(text); err != nil || have != want {
				t.Errorf("have %v, %v", have, err)
			}
		})
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		90 * time.Second:       "1m30s",
		14 * day:               "14d",
		time.Hour:              "1h",
		30 * time.Minute:       "30m",
		0:                      "0s",
		250 * time.Millisecond: "250ms",
	} {
		t.Run(want, func(t *testing.T) {
			if have := FormatDuration(d); have != want {
				t.Errorf("%d: have %s", d, have)
			}
		})
	}
}

func TestFormatSize_IsReadBack(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1: "1B", 1 << 20: "1MiB", 20 << 30: "20GiB", 1536: "1536B"} {
		t.Run(want, func(t *testing.T) {
			have := FormatSize(n)
			back, err := ParseSize(have)
			if have != want || err != nil || back != n {
				t.Errorf("%d: have %s, read back %d %v", n, have, back, err)
			}
		})
	}
}
