package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValue_RefusesInvalidInput(t *testing.T) {
	for text, want := range map[string]string{
		`kind = "cars"`:          `"cars" is not one of food, books`,
		`open = "yes"`:           `expected true or false without quotes, found "yes"`,
		`lit = "yes"`:            `expected true or false without quotes, or "auto", found "yes"`,
		`count = 11`:             `11 is out of range; it must be from 0 to 10`,
		`count = 1.5`:            `expected a whole number from 0 to 10, found 1.5`,
		`age = "31d"`:            `"31d" is out of range; it must be from 0s to 30d`,
		`age = "soon"`:           `"soon" has no known unit`,
		`age = "999999999999d"`:  `is too large`,
		`pause = "always"`:       `"always" has no known unit`,
		`pause = "0s"`:           `"0s" is out of range; it must be from 1s to 1h`,
		`room = 0`:               `0 has no unit`,
		`room = "0B"`:            `"0B" is out of range; it must be from 1B to 1TiB`,
		`limit = "automatic"`:    `write a number with a unit, such as 64KiB or 20GiB, or "auto"`,
		`topics = 3`:             `expected a list of texts such as ["a", "b"], found 3`,
		`key = 3`:                `expected a secret as text in quotes, or "file:PATH"`,
		`key = "file:/none"`:     `read the secret: open /none: no such file or directory`,
		`key = "file:/dev/null"`: `/dev/null is empty; write the secret into it, or remove the key`,
		`key = " \t"`:            `the secret consists of blanks; write one that is not, or remove the key`,
		`phone = 3`:              `expected a table, found 3; write [phone]`,
		`phone.home = "1"`:       `phone.home: is too large`,
		`door = 3`:               `expected a table, found 3; write [door]`,
		`shelf = "x"`:            `expected a table, found "x"; write [shelf]`,
		`shelf.top = 3`:          `expected a table, found 3; write [shelf.top]`,
	} {
		t.Run(text, func(t *testing.T) {
			err := Load("shop.toml", []byte(text), newExampleTable())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("have %v\nwant %s", err, want)
			}
		})
	}
}

func TestValue_StringIsReadBack(t *testing.T) {
	s := newExampleTable()
	s.Key = "hidden"
	s.Phones = map[string]string{"office": "12345"}
	for _, key := range s.Keys() {
		t.Run(key.Name, func(t *testing.T) {
			text := key.Value.String()
			if text != "" && key.Name != "key" {
				if err := Load("again", []byte(key.Name+" = "+text), newExampleTable()); err != nil {
					t.Errorf("%s = %s: %v", key.Name, text, err)
				}
			}
			if strings.Contains(text, "hidden") {
				t.Errorf("%s shows the secret", key.Name)
			}
		})
	}
}

func TestSecret_OfBlanksInAFileIsRefused(t *testing.T) {
	for _, content := range []string{"", "\n\n", " \t\r\n"} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Load("shop.toml", []byte(`key = "file:`+path+`"`), newExampleTable())
		if err == nil || !strings.Contains(err.Error(), "shop.toml:1: key: "+path+" is empty; ") {
			t.Errorf("a file with %q: %v", content, err)
		}
	}
}
