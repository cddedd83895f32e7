package choria

import (
	"slices"
	"strings"
	"testing"
)

func TestConditionsOnFacts(t *testing.T) {
	facts := map[string]string{
		"name": `"Debian"`, "major": `"13"`, "cores": `8`, "load": `0.75`, "whole": `2.0`, "below": `-3`,
		"virtual": `true`, "bare": `false`, "os": `{"name":"Debian"}`, "disks": `["sda"]`, "none": `null`, "empty": `""`,
	}
	tests := map[string]bool{
		// text, without case
		"name=Debian": true, "name==debian": true, "name=DEBIAN": true, "name=Debia": false, "name=Debian13": false,
		"name!=Fedora": true, "name!=debian": false,
		"name=~^Deb": true, "name=/ian$/": true, "name=~/ian$/": true, "name=~^deb": false, "name=/(?i)^deb/": true, "name=~xyz": false,
		"name<E": true, "name>E": false, "name<=Debian": true, "name>=Debian": true, "name>Debian": false, "name<Debian": false, "name<debian": true,
		"major=13": true, "major=13.0": false, "major<9": true, "major>=13": true, "major=~^1": true,
		// numbers, with a point as what they are and without one as integers
		"cores=8": true, "cores==8.0": true, "cores=08": true, "cores=9": false, "cores!=9": true, "cores!=8": false,
		"cores>4": true, "cores>8": false, "cores>=8": true, "cores<10": true, "cores<=7": false, "cores=<8": true, "cores=>9": false,
		"cores=eight": false, "cores!=eight": true, "cores<eight": false, "cores>x.y": false, "cores=~^8$": true, "cores=/^8.0000$/": true, "cores=~9": false,
		"load=0.75": true, "load<0.8": true, "load>0.75": false, "load>=0.75": true, "load<1": true, "load=0": true, "load=~0.75": true, "load=~^75": false,
		"whole=2": true, "whole=2.0": true, "below<0": true, "below=-3": true, "below>-2.5": false,
		// booleans
		"virtual=true": true, "virtual=TRUE": true, "virtual=1": true, "virtual=yes": true, "virtual=y": true, "virtual=t": true,
		"virtual=false": false, "virtual=maybe": false, "virtual!=false": true, "virtual!=true": false, "virtual=~yes": true, "virtual=/no/": false, "virtual<true": false, "virtual>=1": false,
		"bare=false": true, "bare=0": true, "bare=no": true, "bare=N": true, "bare=f": true, "bare=true": false, "bare!=yes": true, "bare=maybe": false,
		// what meets nothing
		"os=Debian": false, "os!=Debian": false, "os=~Debian": false, "disks=sda": false, "disks!=sdb": false,
		"none=null": false, "none!=x": false, "none=~.": false, "missing=x": false, "missing!=x": false, "missing=~.*": false, "missing<z": false,
		// what is empty is there
		"empty=x": false, "empty!=x": true, "empty=~^$": true, "empty<a": true,
	}
	if len(tests) < 60 {
		t.Fatalf("%d conditions", len(tests))
	}
	for text, want := range tests {
		f, err := ParseFactFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		meets, err := f.Matcher()
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if again, err := ParseFactFilter(f.String()); again != f || err != nil {
			t.Errorf("%s: %+v is read as %+v, %v", text, f, again, err)
		}
		if have := meets(facts[f.Fact]); have != want {
			t.Errorf("%s (%+v) with %s: %v", text, f, facts[f.Fact], have)
		}
	}
}

func TestWhatIsNoConditionIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"": "is not a valid fact filter", "os.name": "is not a valid fact filter", "=Debian": "is not a valid fact filter", "os.name=": "is not a valid fact filter", "os.name= ": "is not a valid fact filter",
		"os name=x": "is not a valid fact filter", "os.name=~(": "is not a valid regular expression", "os.name=/[/": "is not a valid regular expression",
	} {
		f, err := ParseFactFilter(text)
		if err == nil {
			_, err = f.Matcher()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := (FactFilter{Fact: "a", Operator: "===", Value: "b"}).Matcher(); err == nil || !strings.Contains(err.Error(), `"===" is not a valid operator`) {
		t.Errorf("===: %v", err)
	}
}

func TestNamesAndMembers(t *testing.T) {
	names := []string{"web1", "web2", "WEB3", "db1"}
	for filter, want := range map[string]string{
		"web1": "web1", "Web1": "", "web": "", "/web/": "web1 web2", "/^WEB/": "WEB3", "/(?i)^web/": "web1 web2 WEB3", "/1$/": "web1 db1", "/": "", "//": "web1 web2 WEB3 db1",
	} {
		match, err := NameMatcher(filter)
		if err != nil {
			t.Fatal(err)
		}
		have := strings.Join(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !match(name) }), " ")
		if have != want {
			t.Errorf("identity %s: %q", filter, have)
		}
	}
	for filter, want := range map[string]bool{
		"role::web": true, "ROLE::Web": true, "role": false, "/role/": true, "/ROLE::W/": true, "/^web/": false, "apache": true, "/db|apache/": true, "nginx": false,
	} {
		match, err := MemberMatcher(filter)
		if err != nil {
			t.Fatal(err)
		}
		if match([]string{"apache", "role::web"}) != want || match(nil) {
			t.Errorf("class %s: %v, want %v", filter, !want, want)
		}
	}
	for _, filter := range []string{"/(/", "/[/"} {
		if _, err := NameMatcher(filter); err == nil {
			t.Errorf("identity %s", filter)
		}
		if _, err := MemberMatcher(filter); err == nil {
			t.Errorf("class %s", filter)
		}
	}
}

// FuzzFactFilter looks for conditions that end the process, and for some that are not what
// was written.
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
			t.Errorf("%q is read as %+v", text, filter)
		}
		if meets, err := filter.Matcher(); err == nil {
			meets(value)
		}
	})
}
