package config

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestPrefixes(t *testing.T) {
	for text, want := range map[string]string{
		`v = "192.0.2.1"`:                  `["192.0.2.1"]`,
		`v = ["10.1.2.3/16", "::1"]`:       `["10.1.0.0/16", "::1"]`,
		`v = "2001:db8::/32"`:              `["2001:db8::/32"]`,
		`v = []`:                           `[]`,
		`v = ["10.0.0.0/8", "web1"]`:       `"web1" is neither an address nor a network such as 10.1.0.0/16`,
		`v = ["a", "10.0.0.0/8", "1.2.3"]`: `"a" is neither`,
		`v = ["x", "1.2.3.4/33"]`:          `; "1.2.3.4/33" is neither`,
		`v = 5`:                            `found 5`,
	} {
		t.Run(text, func(t *testing.T) {
			var into []netip.Prefix
			value := Prefixes(&into)
			err := Load("x", []byte(text), table{{Name: "v", Value: value}})
			if err == nil && value.String() != want || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("have %s, %v; want %s", value, err, want)
			}
		})
	}
}

func TestParsedPairs(t *testing.T) {
	var into map[string]bool
	parse := func(text string) (bool, error) {
		if text != "yes" && text != "no" {
			return false, errors.New("neither yes nor no")
		}
		return text == "yes", nil
	}
	value := ParsedPairs(&into, parse, func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	})
	keys := table{{Name: "v", Value: value, Help: "answers"}}
	err := Load("x", []byte("[v]\na = 'yes'\nb = 'perhaps'\nc = 5\nd.e = 'yes'\n"), keys)
	for _, want := range []string{
		"x:3: v.b: neither yes nor no", "x:4: v.c: ",
		`v.d: expected text in quotes, found a table; write a name with dots in quotes: "d.…"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have %v, want %s", err, want)
		}
	}
	into = nil
	if err := Load("x", []byte("[v]\nb = 'no'\na = 'yes'\n"), keys); err != nil {
		t.Fatal(err)
	}
	if have := value.String(); have != `{a = "yes", b = "no"}` {
		t.Errorf("have %s", have)
	}
	sections := Sections(keys)
	at := slices.IndexFunc(sections, func(s Section) bool { return s.Path == "v" })
	if at < 0 || sections[at].Keys[0].Name != "NAME" {
		t.Errorf("the manual has %+v", sections)
	}
}

// table is a table of the keys, without relations between them.
type table []Key

func (t table) Keys() []Key     { return t }
func (t table) Validate(*Check) {}
