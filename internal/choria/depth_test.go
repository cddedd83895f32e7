package choria

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// nested returns n levels of arrays.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestCheckDepth(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"nothing":        {"", nil},
		"wide":           {"[" + strings.Repeat(`{"a":[]},`, 1000) + "1]", nil},
		"deepest":        {nested(maxDepth), nil},
		"one deeper":     {nested(maxDepth + 1), ErrLimit},
		"objects":        {strings.Repeat(`{"a":`, maxDepth+1), ErrLimit},
		"in a string":    {`{"a":"` + strings.Repeat(`[\"`, 1000) + `"}`, nil},
		"after a string": {`{"a\\":` + nested(maxDepth), ErrLimit},
		"open string":    {`["` + strings.Repeat("[", 1000), nil},
		"escape at end":  {`["\`, nil},
		"4 MiB":          {strings.Repeat("[", 4<<20), ErrLimit},
	} {
		t.Run(name, func(t *testing.T) { checkError(t, CheckDepth([]byte(test.text)), test.want) })
	}
}

func TestDecodeJSON_ChecksDepth(t *testing.T) {
	var into any
	if err := decodeJSON("layer", []byte(nested(maxDepth+1)), &into); !errors.Is(err, ErrLimit) || Reason(err) != "limit" {
		t.Errorf("%v", err)
	}
}

// FuzzCheckDepth compares CheckDepth with encoding/json.
func FuzzCheckDepth(f *testing.F) {
	for _, seed := range []string{`{"a\"[":[1,{"b":"\\"}]}`, nested(3), `"[`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, deepest, depth := json.NewDecoder(strings.NewReader(text)), 0, 0
		if !json.Valid([]byte(text)) {
			return
		}
		for {
			token, err := d.Token()
			if err != nil {
				break
			}
			if delim, ok := token.(json.Delim); ok {
				depth++
				if delim == ']' || delim == '}' {
					depth -= 2
				}
			}
			deepest = max(deepest, depth)
		}
		if err := CheckDepth([]byte(text)); (err != nil) != (deepest > maxDepth) {
			t.Errorf("%d levels: %v", deepest, err)
		}
	})
}
