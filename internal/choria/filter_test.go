package choria

import (
	"slices"
	"strings"
	"testing"
)

func TestFactFilter_Matcher(t *testing.T) {
	facts := map[string]string{
		"name": `"Debian"`, "major": `"13"`, "cores": `8`, "load": `0.75`, "whole": `2.0`, "below": `-3`,
		"virtual": `true`, "bare": `false`, "os": `{"name":"Debian"}`, "disks": `["sda"]`, "none": `null`, "empty": `""`,
	}
	for want, conditions := range map[bool][]string{
		true: {
			// strings, without regard to case
			"name=Debian", "name==debian", "name=DEBIAN", "name!=Fedora",
			"name=~^Deb", "name=/ian$/", "name=~/ian$/", "name=/(?i)^deb/",
			"name<E", "name<=Debian", "name>=Debian", "name<debian",
			"major=13", "major<9", "major>=13", "major=~^1",
			// numbers: as integers unless the value has a point
			"cores=8", "cores==8.0", "cores=08", "cores!=9", "cores>4", "cores>=8", "cores<10", "cores=<8",
			"cores!=eight", "cores=~^8$", "cores=/^8.0000$/",
			"load=0.75", "load<0.8", "load>=0.75", "load<1", "load=0", "load=~0.75",
			"whole=2", "whole=2.0", "below<0", "below=-3",
			// booleans
			"virtual=true", "virtual=TRUE", "virtual=1", "virtual=yes", "virtual=y", "virtual=t",
			"virtual!=false", "virtual=~yes",
			"bare=false", "bare=0", "bare=no", "bare=N", "bare=f", "bare!=yes",
			// an empty string is a value
			"empty!=x", "empty=~^$", "empty<a",
		},
		false: {
			"name=Debia", "name=Debian13", "name!=debian", "name=~^deb", "name=~xyz", "name>E", "name>Debian", "name<Debian",
			"major=13.0",
			"cores=9", "cores!=8", "cores>8", "cores<=7", "cores=>9",
			"cores=eight", "cores<eight", "cores>x.y", "cores=~9",
			"load>0.75", "load=~^75", "below>-2.5",
			"virtual=false", "virtual=maybe", "virtual!=true", "virtual=/no/", "virtual<true", "virtual>=1",
			"bare=true", "bare=maybe",
			// objects, arrays, null and missing facts meet no condition
			"os=Debian", "os!=Debian", "os=~Debian", "disks=sda", "disks!=sdb",
			"none=null", "none!=x", "none=~.", "missing=x", "missing!=x", "missing=~.*", "missing<z",
			"empty=x",
		},
	} {
		for _, text := range conditions {
			t.Run(text, func(t *testing.T) {
				f, err := ParseFactFilter(text)
				if err != nil {
					t.Fatal(err)
				}
				matches, err := f.Matcher()
				if err != nil {
					t.Fatal(err)
				}
				if again, err := ParseFactFilter(f.String()); again != f || err != nil {
					t.Errorf("%+v is parsed as %+v, %v", f, again, err)
				}
				if have := matches(facts[f.Fact]); have != want {
					t.Errorf("%+v with %s: have %v, want %v", f, facts[f.Fact], have, want)
				}
			})
		}
	}
}

func TestParseFactFilter_RejectsInvalid(t *testing.T) {
	const notFilter, notRegexp = "is not a valid fact filter", "is not a valid regular expression"
	for text, want := range map[string]string{
		"": notFilter, "os.name": notFilter, "=Debian": notFilter, "os.name=": notFilter, "os.name= ": notFilter,
		"os name=x": notFilter, "os.name=~(": notRegexp, "os.name=/[/": notRegexp,
	} {
		t.Run(text, func(t *testing.T) {
			f, err := ParseFactFilter(text)
			if err == nil {
				_, err = f.Matcher()
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("have %v, want %q", err, want)
			}
		})
	}
	_, err := FactFilter{Fact: "a", Operator: "===", Value: "b"}.Matcher()
	if err == nil || !strings.Contains(err.Error(), `"===" is not a valid operator`) {
		t.Errorf("===: %v", err)
	}
}

func TestNameMatcher(t *testing.T) {
	names := []string{"web1", "web2", "WEB3", "db1"}
	for filter, want := range map[string]string{
		"web1": "web1", "Web1": "", "web": "", "/web/": "web1 web2", "/^WEB/": "WEB3",
		"/(?i)^web/": "web1 web2 WEB3", "/1$/": "web1 db1", "/": "", "//": "web1 web2 WEB3 db1",
	} {
		t.Run(filter, func(t *testing.T) {
			match, err := NameMatcher(filter)
			if err != nil {
				t.Fatal(err)
			}
			matched := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !match(name) })
			if have := strings.Join(matched, " "); have != want {
				t.Errorf("have %q, want %q", have, want)
			}
		})
	}
}

func TestMemberMatcher(t *testing.T) {
	for filter, want := range map[string]bool{
		"role::web": true, "ROLE::Web": true, "role": false, "/role/": true, "/ROLE::W/": true, "/^web/": false,
		"apache": true, "/db|apache/": true, "nginx": false,
	} {
		t.Run(filter, func(t *testing.T) {
			match, err := MemberMatcher(filter)
			if err != nil {
				t.Fatal(err)
			}
			if have := match([]string{"apache", "role::web"}); have != want || match(nil) {
				t.Errorf("have %v, want %v", have, want)
			}
		})
	}
}

func TestMatchers_RejectInvalidRegexps(t *testing.T) {
	for _, filter := range []string{"/(/", "/[/"} {
		if _, err := NameMatcher(filter); err == nil {
			t.Errorf("NameMatcher accepts %s", filter)
		}
		if _, err := MemberMatcher(filter); err == nil {
			t.Errorf("MemberMatcher accepts %s", filter)
		}
	}
}

// FuzzFactFilter looks for conditions that panic, and for conditions that are not parsed as written.
func FuzzFactFilter(f *testing.F) {
	f.Add("os.name=Debian", `"Debian"`)
	f.Add("cores>=8", "8")
	f.Add("a=~/(b|c)/", "true")
	f.Fuzz(func(t *testing.T, text, value string) {
		filter, err := ParseFactFilter(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(text, filter.Fact) || !strings.HasSuffix(text, filter.Value) {
			t.Errorf("%q is parsed as %+v", text, filter)
		}
		if matches, err := filter.Matcher(); err == nil {
			matches(value)
		}
	})
}
