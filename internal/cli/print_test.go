package cli

import "testing"

func TestQuoteUnsafe(t *testing.T) {
	for text, want := range map[string]string{"web1": "web1", "": "-", "a\tb": `"a\tb"`, "\x1b[2J": `"\x1b[2J"`} {
		t.Run(want, func(t *testing.T) {
			if have := quoteUnsafe(text); have != want {
				t.Errorf("%s; want %s", have, want)
			}
		})
	}
}
