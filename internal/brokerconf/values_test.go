package brokerconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

func TestDurationsAreThoseOfChoria(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5": 5 * time.Second, "0": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "1d": 24 * time.Hour, "2w": 14 * 24 * time.Hour,
		"1M": 30 * 24 * time.Hour, "1y": 365 * 24 * time.Hour, "1.5d": 36 * time.Hour, "3m": 3 * time.Minute,
	} {
		if have, err := duration(text); err != nil || have != want {
			t.Errorf("%s: %s %v", text, have, err)
		}
	}
	for _, text := range []string{"x", "d", "1x", "-1d", "NaNd", "1d1h", "9999y", "1 d "} {
		if have, err := duration(text); err == nil {
			t.Errorf("%s: %s", text, have)
		}
	}
}

func TestExpressionsThatPatternsSay(t *testing.T) {
	for expression, want := range map[string]string{
		`\.mcollective$`: "*.mcollective", `^bob$`: "bob", `^a\.b-c\.d$`: "a.b-c.d", `mcollective$`: "*mcollective",
		`.*`: "", `^a`: "", `a`: "", `(a|b)$`: "", `a.b$`: "", `\.a`: "", ``: "", `^$`: "", `[a]$`: "",
	} {
		if have, err := pattern(expression); have != want || (want == "") != (err != nil) {
			t.Errorf("%s: %q %v", expression, have, err)
		}
	}
}

func read(t *testing.T, text string) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheGrammarIsChorias(t *testing.T) {
	f := read(t, "\ufeffodd = 1\r\n  a.b  =  x = y # z  \n#c = 1\n = d\ne =\nf\ng = \"q\"\nA.b = 2\n")
	want := map[string]string{"a.b": "x = y # z", "g": `"q"`, "A.b": "2"}
	for key, value := range want {
		if have := f.entries[key].value; have != value {
			t.Errorf("%s is %q, want %q", key, have, value)
		}
	}
	if len(f.entries) != 4 { // and the one with the byte order mark, which Choria takes for a part of the key
		t.Errorf("%+v", f.entries)
	}
	f = read(t, "a = 1\nb = "+strings.Repeat("x", maxLine)+"\nc = 2\n")
	if len(f.entries) != 1 || len(f.remarks) != 1 || !strings.Contains(f.remarks[0].Reason, "line 2 is longer than 64 KiB") {
		t.Errorf("%+v %+v", f.entries, f.remarks)
	}
}

// FuzzTranslate looks for a configuration that ends the process, or that makes something
// which is no TOML.
func FuzzTranslate(f *testing.F) {
	f.Add("identity = a\nplugin.choria.adapters = x\nplugin.choria.adapter.x.type = jetstream\nplugin.choria.adapter.x.ingest.topic = a.>\n")
	f.Add("plugin.choria.network.stream.event_retention = 1d\nplugin.security.issuer.names = \"a\\\"b\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := &File{Path: "broker.conf", entries: map[string]entry{}}
		file.parse("broker.conf", "", text)
		out, _ := file.Translate("host")
		if err := checkTOML(out); err != nil {
			t.Errorf("%q becomes %q: %v", text, out, err)
		}
	})
}

func checkTOML(text string) error {
	var tree map[string]any
	_, err := toml.Decode(text, &tree)
	return err
}
