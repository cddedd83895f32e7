package config

import (
	"slices"
	"testing"
)

func TestChanged(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*shop)
		want   []string
	}{
		{"nothing", func(*shop) {}, nil},
		{"values", func(s *shop) { s.Name, s.Door.Width = "x", 1 }, []string{"name", "door.width"}},
		{"a secret, which is shown the same", func(s *shop) { s.Key = "other" }, []string{"key"}},
		{"pairs", func(s *shop) { s.Phones = map[string]string{"home": "12345"} }, []string{"phone"}},
		{"a value of a named table", func(s *shop) { s.Shelves["top"].Height = 1 }, []string{"shelf.top.height"}},
		{"a named table more", func(s *shop) { s.Shelves["low"] = &shelf{} }, []string{"shelf.low"}},
		{"a named table less", func(s *shop) { delete(s.Shelves, "top") }, []string{"shelf.top"}},
		{"another name", func(s *shop) {
			s.Kind = "books"
			s.Shelves["a"] = s.Shelves["top"]
			delete(s.Shelves, "top")
		}, []string{"kind", "shelf.a", "shelf.top"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := newShop(), newShop()
			before.Key = "secret"
			after.Key = "secret"
			test.change(after)
			if have := Changed(before, after); !slices.Equal(have, test.want) {
				t.Errorf("have %v, want %v", have, test.want)
			}
		})
	}
}

func TestPaths_ListsEveryValue(t *testing.T) {
	have := Paths(newShop())
	want := []string{"name", "kind", "open", "count", "age", "room", "limit", "topics", "key", "phone",
		"door.width", "shelf.top.height"}
	if !slices.Equal(have, want) {
		t.Errorf("have %v\nwant %v", have, want)
	}
}
