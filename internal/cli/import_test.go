package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/enroll"
)

// certificates makes the files that the brokers' configurations name.
func certificates(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	site, err := enroll.Init(enroll.Options{Dir: filepath.Join(dir, "site"), Name: "choria1.example.net", Listen: "0.0.0.0:4222"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files := site.Files()
	for from, names := range map[string][]string{
		files.Cert: {"cert.pem", "ssl/certs/choria1.example.net.pem", "ssl/certs/edge1.example.net.pem", "ssl/certs/fed1.example.net.pem"},
		files.Key:  {"key.pem", "ssl/private_keys/choria1.example.net.pem", "ssl/private_keys/edge1.example.net.pem", "ssl/private_keys/fed1.example.net.pem"},
		files.CA:   {"ca.pem", "ssl/certs/ca.pem"},
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			write(t, filepath.Join(dir, name), string(text))
		}
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestImportedConfigurationsAreAsKeptAndPassTheCheck(t *testing.T) {
	dir := certificates(t)
	all, err := filepath.Glob("testdata/import/*/broker.conf")
	if err != nil || len(all) < 12 {
		t.Fatalf("%d configurations, %v", len(all), err)
	}
	for _, original := range all {
		name := filepath.Base(filepath.Dir(original))
		copied := filepath.Join(dir, name, "broker.conf")
		plugins, _ := filepath.Glob(filepath.Join(filepath.Dir(original), "plugin.d", "*.cfg"))
		for _, file := range append(plugins, original) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			relative, _ := filepath.Rel(filepath.Dir(original), file)
			write(t, filepath.Join(dir, name, relative), strings.ReplaceAll(string(text), "@DIR@", dir))
		}
		status, out, errOut := muster(t, "import", copied)
		if status != 0 {
			t.Errorf("%s: %d %s", name, status, errOut)
		}
		config := filepath.Join(dir, name, "appliance.toml")
		write(t, config, out)
		if status, _, problems := muster(t, "check", "--config", config); status != 0 {
			t.Errorf("%s does not pass the check: %s\n%s", name, problems, out)
		}
		compare(t, filepath.Join("import", name, "appliance.toml"), strings.ReplaceAll(out, dir, "@DIR@"))
		compare(t, filepath.Join("import", name, "remarks.txt"), strings.ReplaceAll(errOut, dir, "@DIR@"))
		for _, line := range strings.Split(strings.TrimSpace(errOut), "\n") {
			if line != "" && !strings.Contains(out, "\n# "+line+"\n") {
				t.Errorf("%s: the file does not say %q", name, line)
			}
		}
		for _, secret := range []string{"peersecret", "provsecret", "leafsecret", "hostsecret", "natssecret", "pinsecret", "keysecret"} {
			if strings.Contains(out+errOut, secret) {
				t.Errorf("%s: a password is shown", name)
			}
		}
	}
}

func TestImportSaysWhatItCannotRead(t *testing.T) {
	for _, args := range [][]string{{}, {""}, {"a", "b"}} {
		if status, _, errOut := muster(t, append([]string{"import"}, args...)...); status != 2 || !strings.Contains(errOut, "name one file") {
			t.Errorf("%q: %d %s", args, status, errOut)
		}
	}
	if status, _, errOut := muster(t, "import", "/nowhere/broker.conf"); status != 1 || errOut != "muster: /nowhere/broker.conf: no such file or directory\n" {
		t.Errorf("%d %s", status, errOut)
	}
}
