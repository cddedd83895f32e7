package config

import "testing"

func TestProblem_String(t *testing.T) {
	for key, want := range map[string]string{
		"broker.listen":           "x:3: broker.listen: not set",
		"remote.\u001b[31m.allow": `x:3: "remote.\x1b[31m.allow": not set`,
		"":                        "x:3: not set",
	} {
		if have := (Problem{File: "x", Line: 3, Key: key, Text: "not set"}).String(); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
}
