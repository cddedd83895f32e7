package subject

import "testing"

func TestCheck(t *testing.T) {
	for subject, valid := range map[string]bool{
		"a": true, "a.b": true, "*.b": true, "a.>": true, ">": true, "a*b": true, "$JS.EVENT.>": true,
		"": false, "a b": false, "a..b": false, ".a": false, "a.": false, ">.a": false, "a\n": false,
	} {
		t.Run(subject, func(t *testing.T) {
			if err := Check(subject); (err == nil) != valid {
				t.Errorf("%q: %v", subject, err)
			}
		})
	}
}

func TestOverlapAndCovers(t *testing.T) {
	for _, test := range []struct {
		a, b            string
		overlap, covers bool
	}{
		{"a.b", "a.b", true, true},
		{"a.b", "a.c", false, false},
		{"a.b", "a", false, false},
		{"a.*", "a.b", true, true},
		{"a.b", "a.*", true, false},
		{"a.*", "*.b", true, false},
		{"a.>", "a", false, false},
		{"a.>", "a.b.c", true, true},
		{"a.>", "*.b", true, false},
		{"a.*", "a.>", true, false},
		{">", "a.b", true, true},
		{"a.*.c", "a.b.*", true, false},
		{"a.*.c", "a.b.d", false, false},
		{"*.*", "a.>", true, false},
		{"a.>", "a.*", true, true},
	} {
		t.Run(test.a+" and "+test.b, func(t *testing.T) {
			if have := Overlap(test.a, test.b); have != test.overlap || Overlap(test.b, test.a) != have {
				t.Errorf("Overlap is %v, reversed %v", have, Overlap(test.b, test.a))
			}
			if have := Covers(test.a, test.b); have != test.covers {
				t.Errorf("Covers is %v", have)
			}
		})
	}
}

func TestOfAllSenders(t *testing.T) {
	for topic, want := range map[string]string{
		"choria.node_metadata.%s": "choria.node_metadata.>",
		"a.x-%s.b":                "a.>",
		"%s":                      ">",
		"a.b":                     "a.b",
	} {
		t.Run(topic, func(t *testing.T) {
			if have := OfAllSenders(topic); have != want {
				t.Errorf("have %s, want %s", have, want)
			}
		})
	}
}

func TestIntersect(t *testing.T) {
	for _, test := range []struct{ a, b, both string }{
		{"a.b", "a.b", "a.b"},
		{"a.b", "a.c", ""},
		{"a.*", "*.b", "a.b"},
		{"a.>", "*.b.c", "a.b.c"},
		{">", "a.*", "a.*"},
		{"a.*.>", "*.b.>", "a.b.>"},
		{"a.>", "a", ""},
		{"a.*.KV_B", "a.INFO.*", "a.INFO.KV_B"},
	} {
		t.Run(test.a+" and "+test.b, func(t *testing.T) {
			for _, order := range [][2]string{{test.a, test.b}, {test.b, test.a}} {
				if both, ok := Intersect(order[0], order[1]); both != test.both || ok != (test.both != "") {
					t.Errorf("Intersect(%q, %q) = %q, %t; want %q", order[0], order[1], both, ok, test.both)
				}
			}
		})
	}
}
