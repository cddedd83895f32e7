package brokerconf

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// quote is a text in TOML.
func quote(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always can be
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "\x7f", `\u007f`)
}

// quoteAll is a list of texts in TOML.
func quoteAll(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// list is a value that Choria splits at commas, without what is there already.
func list(value string) (texts []string) {
	for text := range strings.SplitSeq(value, ",") {
		if text = strings.TrimSpace(text); text != "" && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// isTrue is what Choria takes for true; everything else is false to it.
func isTrue(value string) bool {
	return slices.Contains([]string{"1", "yes", "true", "y", "t"}, strings.ToLower(value))
}

func isFalse(value string) bool {
	return slices.Contains([]string{"0", "no", "false", "n", "f"}, strings.ToLower(value))
}

var units = map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'M': 30 * 24 * time.Hour, 'y': 365 * 24 * time.Hour}

// duration is Choria's: seconds, or a number with d, w, M (30 days) or y, or as Go writes it.
func duration(value string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is no time that Choria reads", value)
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	if unit, ok := units[value[len(value)-1]]; ok {
		n, err := strconv.ParseFloat(value[:len(value)-1], 64)
		if err != nil || !(n >= 0 && n*unit.Hours() < 24*365*200) {
			return 0, wrong
		}
		return time.Duration(n * float64(unit)), nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, wrong
	}
	return d, nil
}

var (
	// endsWith and isName are the regular expressions that patterns can say too.
	endsWith = regexp.MustCompile(`^((?:\\\.)?[A-Za-z0-9@_-]+(?:\\\.[A-Za-z0-9@_-]+)*)\$$`)
	isName   = regexp.MustCompile(`^\^([A-Za-z0-9@_-]+(?:\\\.[A-Za-z0-9@_-]+)*)\$$`)
)

// pattern is a regular expression on names as a pattern with *.
func pattern(expression string) (string, error) {
	plain := func(text string) string { return strings.ReplaceAll(text, `\.`, ".") }
	if m := isName.FindStringSubmatch(expression); m != nil {
		return plain(m[1]), nil
	}
	if m := endsWith.FindStringSubmatch(expression); m != nil {
		return "*" + plain(m[1]), nil
	}
	return "", errors.New("an expression that no pattern with * says: write one for it")
}
