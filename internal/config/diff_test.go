package config

import (
	"slices"
	"testing"
)

func TestChanged(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*exampleTable)
		want   []string
	}{
		{"nothing", func(*exampleTable) {}, nil},
		{"values", func(s *exampleTable) { s.Name, s.Door.Width = "x", 1 }, []string{"name", "door.width"}},
		{"a secret, which is shown the same", func(s *exampleTable) { s.Key = "other" }, []string{"key"}},
		{"pairs", func(s *exampleTable) { s.Phones = map[string]string{"home": "12345"} }, []string{"phone"}},
		{"a value of a named table", func(s *exampleTable) { s.Shelves["top"].Height = 1 }, []string{"shelf.top.height"}},
		{"a named table more", func(s *exampleTable) { s.Shelves["low"] = &exampleNamedTable{} }, []string{"shelf.low"}},
		{"a named table less", func(s *exampleTable) { delete(s.Shelves, "top") }, []string{"shelf.top"}},
		{"another name", func(s *exampleTable) {
			s.Kind = "books"
			s.Shelves["a"] = s.Shelves["top"]
			delete(s.Shelves, "top")
		}, []string{"kind", "shelf.a", "shelf.top"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := newExampleTable(), newExampleTable()
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
	have := Paths(newExampleTable())
	want := []string{"name", "kind", "open", "lit", "count", "age", "pause", "room", "limit", "topics", "key", "phone",
		"door.width", "shelf.top.height"}
	if !slices.Equal(have, want) {
		t.Errorf("have %v\nwant %v", have, want)
	}
}
