package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoad_LaysTheFileOverTheDefaults(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newExampleTable()
	err := Load("shop.toml", []byte(`
kind = "books"
age = "7d"
room = "1.5MiB"
limit = "64KiB"
topics = "only one"
key = "file:`+secret+`"
[phone]
office = "12345"
[door]
width = 90
[shelf.top]
height = 210
[shelf.bottom]
`), s)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case s.Name != "corner", s.Count != 3:
		t.Errorf("a default was lost: %+v", s)
	case s.Kind != "books", s.Age != 7*24*time.Hour, s.Space != 3<<19, s.Limit != 64<<10,
		len(s.Topics) != 1, s.Topics[0] != "only one", s.Key != "s3cret", s.Door.Width != 90,
		s.Phones["office"] != "12345":
		t.Errorf("a key was not set: %+v", s)
	case s.Shelves["top"].Height != 210, s.Shelves["bottom"].Height != 1:
		t.Errorf("named tables: %+v %+v", s.Shelves["top"], s.Shelves["bottom"])
	}
}

func TestLoad_ReportsEveryProblemInFileOrder(t *testing.T) {
	text := `name = 7
open = true
count = 0
# shelf = "not this line"
age = 7
room = "12 KB"
topics = ["a", 1]
flor = "2"
till = 1
[phone]
office = "1"
home = 12345
[door]
widht = 90
[shelf.top]
height = 13
[shelf.bottom]
height = "x"
`
	want := []string{
		`shop.toml:1: name: expected text in quotes, found 7`,
		`shop.toml:3: count: 0 while open; must be at least 1`,
		`shop.toml:5: age: 7 has no unit; write it in quotes with a unit, such as 90s, 5m or 7d`,
		`shop.toml:6: room: "12 KB" has no known unit; write a number with a unit, such as 64KiB or 20GiB`,
		`shop.toml:7: topics: expected text in quotes in the list, found 1`,
		`shop.toml:8: flor: unknown key; did you mean "door"?`,
		`shop.toml:9: till: tills are not supported; remove the line`,
		`shop.toml:11: phone.office: is too large`,
		`shop.toml:12: phone.home: expected text in quotes, found 12345`,
		`shop.toml:14: door.widht: unknown key; did you mean "width"?`,
		`shop.toml:16: shelf.top.height: 13 brings bad luck`,
		`shop.toml:18: shelf.bottom.height: expected a whole number from 0 to 500, found "x"`,
	}
	err := Load("shop.toml", []byte(text), newExampleTable())
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("want problems, have %v", err)
	}
	if have := problems.Error(); have != strings.Join(want, "\n") {
		t.Errorf("have\n%s\nwant\n%s", have, strings.Join(want, "\n"))
	}
}

func TestLoad_NamesTheLineOfASyntaxError(t *testing.T) {
	err := Load("shop.toml", []byte("name = \"a\"\n\ncount = = 3\n"), newExampleTable())
	if err == nil || !strings.HasPrefix(err.Error(), "shop.toml:3: ") {
		t.Errorf("have %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("name = 'a'\n[door]\nwidth = 1\n[shelf.x]\nheight = 2")
	f.Add("shelf = {top = {height = 1}}\na.b.c = [1, {x = 2}]")
	f.Add("[[shelf]]\n[shelf.x]")
	f.Fuzz(func(_ *testing.T, text string) {
		_ = Load("fuzz.toml", []byte(text), newExampleTable()) // must not panic
	})
}
