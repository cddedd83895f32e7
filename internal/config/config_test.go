package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shop is a table with every kind of value.
type shop struct {
	Name    string
	Kind    string
	Open    bool
	Count   int64
	Age     time.Duration
	Room    int64
	Limit   int64
	Topics  []string
	Key     string
	Door    door
	Shelves map[string]*shelf
}

func newShop() *shop {
	s := &shop{Name: "corner", Kind: "food", Count: 3, Age: time.Hour, Room: 1 << 20, Topics: []string{"a"}}
	s.Door.Width = 80
	s.Shelves = map[string]*shelf{"top": {Height: 200}}
	return s
}

func (s *shop) Keys() []Key {
	return []Key{
		{"name", String(&s.Name), "what the sign says"},
		{"kind", OneOf(&s.Kind, "food", "books"), ""},
		{"open", Bool(&s.Open), ""},
		{"count", Int(&s.Count, 0, 10), ""},
		{"age", Duration(&s.Age, -1, 30*24*time.Hour), ""},
		{"room", Size(&s.Room, 1, 1<<40), ""},
		{"limit", SizeOr("auto", &s.Limit, 1<<10, 1<<40), ""},
		{"topics", Strings(&s.Topics), ""},
		{"key", Secret(&s.Key), ""},
		{"door", Sub(&s.Door), ""},
		{"shelf", Named(s.Shelves, func(string) *shelf { return &shelf{Height: 1} }), ""},
	}
}

func (s *shop) Validate(c *Check) {
	if s.Open && s.Count == 0 {
		c.Problem("count", "0 while open; want at least 1")
	}
}

type door struct{ Width int64 }

func (d *door) Keys() []Key     { return []Key{{"width", Int(&d.Width, 1, 500), ""}} }
func (d *door) Validate(*Check) {}

type shelf struct{ Height int64 }

func (s *shelf) Keys() []Key { return []Key{{"height", Int(&s.Height, 0, 500), ""}} }
func (s *shelf) Validate(c *Check) {
	if s.Height == 13 {
		c.Problem("height", "13 brings bad luck")
	}
}

func TestLoadLaysTheFileOverTheDefaults(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newShop()
	err := Load("shop.toml", []byte(`
kind = "books"
age = "7d"
room = "1.5MiB"
limit = "64KiB"
topics = "only one"
key = "file:`+secret+`"
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
	case s.Kind != "books", s.Age != 7*24*time.Hour, s.Room != 3<<19, s.Limit != 64<<10,
		len(s.Topics) != 1, s.Topics[0] != "only one", s.Key != "s3cret", s.Door.Width != 90:
		t.Errorf("a key was not taken: %+v", s)
	case s.Shelves["top"].Height != 210, s.Shelves["bottom"].Height != 1:
		t.Errorf("named tables: %+v %+v", s.Shelves["top"], s.Shelves["bottom"])
	}
}

func TestLoadReportsEveryProblemInFileOrder(t *testing.T) {
	text := `name = 7
open = true
count = 0
# shelf = "not this line"
age = 7
room = "12 KB"
topics = ["a", 1]
flor = "2"
[door]
widht = 90
[shelf.top]
height = 13
[shelf.bottom]
height = "x"
`
	want := []string{
		`shop.toml:1: name: 7 where text is wanted; write it in quotes`,
		`shop.toml:3: count: 0 while open; want at least 1`,
		`shop.toml:5: age: 7 has no unit; write it in quotes with one, such as 90s, 5m or 7d`,
		`shop.toml:6: room: "12 KB" has no unit that is known; write it with one, such as 64KiB or 20GiB`,
		`shop.toml:7: topics: 1 in a list of texts; write it in quotes`,
		`shop.toml:8: flor: unknown key; did you mean "door"?`,
		`shop.toml:10: door.widht: unknown key; did you mean "width"?`,
		`shop.toml:12: shelf.top.height: 13 brings bad luck`,
		`shop.toml:14: shelf.bottom.height: "x" where a whole number is wanted, from 0 to 500`,
	}
	err := Load("shop.toml", []byte(text), newShop())
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("want problems, have %v", err)
	}
	if have := problems.Error(); have != strings.Join(want, "\n") {
		t.Errorf("have\n%s\nwant\n%s", have, strings.Join(want, "\n"))
	}
}

func TestLoadFindsKeysHoweverTheyAreWritten(t *testing.T) {
	for text, want := range map[string]string{
		"\"count\" = 11":                                           `shop.toml:1: count: `,
		"door.width = 0":                                           `shop.toml:1: door.width: `,
		"\ndoor = {width = 0}":                                     `shop.toml:2: door.width: `,
		"# count = 1\n\ncount = 11 # count = 2":                    `shop.toml:3: count: `,
		"name = \"\"\"\ncount = 1\n\"\"\"\ncount = 11":             `shop.toml:4: count: `,
		"topics = [\n 'count = 1',\n]\ncount = 11":                 `shop.toml:4: count: `,
		"[shelf.\"a b\"]\nheight = -1":                             `shop.toml:2: shelf.a b.height: `,
		"[[shelf.top]]\nheight = 1":                                `shop.toml:1: shelf.top: a list where a table is wanted`,
		"[ shelf . top ]\nheight = -1":                             `shop.toml:2: shelf.top.height: `,
		"count = 1\r\n[door]\r\nwidth = 0\r\n":                     `shop.toml:3: door.width: `,
		"topics = [\n \"door\",\n \"x.width\"]\n[door]\nwidth = 0": `shop.toml:5: door.width: `,
		"topics = [\"foo.top.>\"]\n[shelf.top]\nheight = -1":       `shop.toml:3: shelf.top.height: `,
		"name = \"a # b\" # count = 3\ncount = 11":                 `shop.toml:2: count: `,
		"[shelf.a]\nheight = 1\n[shelf.b]\nheight = 999":           `shop.toml:4: shelf.b.height: `,
	} {
		err := Load("shop.toml", []byte(text), newShop())
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\n have %v\n want %s", text, err, want)
		}
	}
}

func TestLoadNamesTheLineOfASyntaxError(t *testing.T) {
	err := Load("shop.toml", []byte("name = \"a\"\n\ncount = = 3\n"), newShop())
	if err == nil || !strings.HasPrefix(err.Error(), "shop.toml:3: ") {
		t.Errorf("have %v", err)
	}
}

func TestScalarsRefuseWhatTheyCannotHold(t *testing.T) {
	for text, want := range map[string]string{
		`kind = "cars"`:         `"cars" is not one of food, books`,
		`open = "yes"`:          `"yes" where true or false is wanted`,
		`count = 11`:            `11 is out of range; it may be 0 to 10`,
		`count = 1.5`:           `1.5 where a whole number is wanted`,
		`age = "31d"`:           `"31d" is out of range; it may be 0s to 30d`,
		`age = "soon"`:          `"soon" has no unit that is known`,
		`age = "999999999999d"`: `is too large`,
		`room = 0`:              `0 has no unit`,
		`room = "0B"`:           `"0B" is out of range; it may be 1B to 1TiB`,
		`limit = "automatic"`:   `"automatic" has no unit that is known`,
		`topics = 3`:            `3 where a list of texts is wanted`,
		`key = 3`:               `no text where a secret is wanted`,
		`key = "file:/none"`:    `read the secret: open /none: no such file or directory`,
		`door = 3`:              `3 where a table is wanted; write [door]`,
		`shelf = "x"`:           `"x" where a table is wanted; write [shelf]`,
		`shelf.top = 3`:         `3 where a table is wanted; write [shelf.top]`,
	} {
		err := Load("shop.toml", []byte(text), newShop())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n have %v\n want %s", text, err, want)
		}
	}
}

func TestValuesAreWrittenAsTheyAreRead(t *testing.T) {
	s := newShop()
	s.Key = "hidden"
	for _, key := range s.Keys() {
		if text := key.Value.String(); text != "" && key.Name != "key" {
			if err := Load("again", []byte(key.Name+" = "+text), newShop()); err != nil {
				t.Errorf("%s = %s: %v", key.Name, text, err)
			}
		}
		if strings.Contains(key.Value.String(), "hidden") {
			t.Errorf("%s shows the secret", key.Name)
		}
	}
}

func TestUnitsAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "7d": 7 * day, "2w": 14 * day, "1h30m": 90 * time.Minute, "0.5d": 12 * time.Hour,
	} {
		if have, err := ParseDuration(text); err != nil || have != want {
			t.Errorf("%s: %v %v", text, have, err)
		}
	}
	for d, want := range map[time.Duration]string{
		90 * time.Second: "1m30s", 14 * day: "14d", time.Hour: "1h", 30 * time.Minute: "30m", 0: "0s", 250 * time.Millisecond: "250ms",
	} {
		if have := FormatDuration(d); have != want {
			t.Errorf("%d: %s, want %s", d, have, want)
		}
	}
	for n, want := range map[int64]string{0: "0B", 1: "1B", 1 << 20: "1MiB", 20 << 30: "20GiB", 1536: "1536B"} {
		have := FormatSize(n)
		back, err := ParseSize(have)
		if have != want || err != nil || back != n {
			t.Errorf("%d: %s %d %v", n, have, back, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("name = 'a'\n[door]\nwidth = 1\n[shelf.x]\nheight = 2")
	f.Add("shelf = {top = {height = 1}}\na.b.c = [1, {x = 2}]")
	f.Add("[[shelf]]\n[shelf.x]")
	f.Fuzz(func(_ *testing.T, text string) {
		_ = Load("fuzz.toml", []byte(text), newShop()) // it must not panic
	})
}
