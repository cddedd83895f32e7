package translate

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Quote returns a text as a TOML string.
func Quote(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // encoding a string cannot fail
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "\x7f", `\u007f`)
}

// QuoteAll returns texts as a TOML array.
func QuoteAll(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = Quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// bareKey matches keys that TOML allows without quotes.
var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// QuoteKey returns a name as a TOML key.
func QuoteKey(name string) string {
	if bareKey.MatchString(name) {
		return name
	}
	return Quote(name)
}
