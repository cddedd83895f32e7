package config

import "time"

// exampleTable is a table with every kind of value.
type exampleTable struct {
	Name    string
	Kind    string
	Open    bool
	Lit     string
	Count   int64
	Age     time.Duration
	Pause   time.Duration
	Space   int64
	Limit   int64
	Topics  []string
	Key     string
	Phones  map[string]string
	Door    exampleSubTable
	Shelves map[string]*exampleNamedTable
}

func newExampleTable() *exampleTable {
	s := &exampleTable{Name: "corner", Kind: "food", Lit: "auto", Count: 3,
		Age: time.Hour, Space: 1 << 20, Topics: []string{"a"}}
	s.Door.Width = 80
	s.Shelves = map[string]*exampleNamedTable{"top": {Height: 200}}
	return s
}

func (s *exampleTable) Keys() []Key {
	return []Key{
		{"name", String(&s.Name), "text on the sign"},
		{"kind", OneOf(&s.Kind, "food", "books"), ""},
		{"open", Bool(&s.Open), ""},
		{"lit", BoolOr("auto", &s.Lit), ""},
		{"count", Int(&s.Count, 0, 10), ""},
		{"age", Duration(&s.Age, -1, 30*24*time.Hour), ""},
		{"pause", DurationOr("never", &s.Pause, time.Second, time.Hour), ""},
		{"room", Size(&s.Space, 1, 1<<40), ""},
		{"limit", SizeOr("auto", &s.Limit, 1<<10, 1<<40), ""},
		{"topics", Strings(&s.Topics), ""},
		{"key", Secret(&s.Key), ""},
		{"phone", Pairs(&s.Phones, checkPhone), "phone numbers"},
		{"door", SubTable(&s.Door), "the entrance"},
		{"shelf", NamedTables(s.Shelves, newExampleNamedTable), "shelves"},
		{"till", UnusedKey("tills are not supported; remove the line"), ""},
	}
}

func (s *exampleTable) Validate(c *Check) {
	if s.Open && s.Count == 0 {
		c.Problem("count", "0 while open; must be at least 1")
	}
}

func checkPhone(text string) error {
	if len(text) < 3 {
		return errRange
	}
	return nil
}

type exampleSubTable struct{ Width int64 }

func (d *exampleSubTable) Keys() []Key     { return []Key{{"width", Int(&d.Width, 1, 500), ""}} }
func (d *exampleSubTable) Validate(*Check) {}

type exampleNamedTable struct{ Height int64 }

func newExampleNamedTable(string) *exampleNamedTable { return &exampleNamedTable{Height: 1} }

func (s *exampleNamedTable) Keys() []Key { return []Key{{"height", Int(&s.Height, 0, 500), ""}} }
func (s *exampleNamedTable) Validate(c *Check) {
	if s.Height == 13 {
		c.Problem("height", "13 brings bad luck")
	}
}
