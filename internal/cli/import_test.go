package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
		if status, _, errOut := muster(t, append([]string{"import"}, args...)...); status != 2 || !strings.Contains(errOut, "name one file, for example") {
			t.Errorf("%q: %d %s", args, status, errOut)
		}
	}
	if status, _, errOut := muster(t, "import", "/nowhere/broker.conf"); status != 1 || errOut != "muster: /nowhere/broker.conf: no such file or directory\n" {
		t.Errorf("%d %s", status, errOut)
	}
}

func TestImport_ReportsProblemsThatHaveNoLine(t *testing.T) {
	const tls = "plugin.security.provider = file\n" +
		"plugin.security.file.certificate = @DIR@/cert.pem\nplugin.security.file.key = @DIR@/key.pem\n"
	nineAdapters := "plugin.choria.adapters = a1, a2, a3, a4, a5, a6, a7, a8, a9\n"
	for i := range 9 {
		nineAdapters += fmt.Sprintf("plugin.choria.adapter.a%[1]d.type = jetstream\n"+
			"plugin.choria.adapter.a%[1]d.ingest.topic = in.a%[1]d\nplugin.choria.adapter.a%[1]d.stream.topic = out.a%[1]d\n", i+1)
	}
	tests := map[string]struct{ conf, key, text string }{
		"broker and console on one address": {
			conf: "plugin.choria.network.listen_address = 127.0.0.1\nplugin.choria.network.client_port = 8222\n",
			key:  "console.listen", text: `"127.0.0.1:8222" is`,
		},
		"streams larger than max_storage": {conf: nineAdapters, key: "jetstream.max_storage", text: "20GiB is less than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := certificates(t)
			conf := filepath.Join(dir, "broker.conf")
			write(t, conf, strings.ReplaceAll(tls+test.conf, "@DIR@", dir))
			status, out, errOut := muster(t, "import", conf)
			remark := regexp.MustCompile(`(?m)^CAUTION ` + regexp.QuoteMeta(test.key+": "+test.text) +
				`.*; change this before you run an appliance with this file$`).FindString(errOut)
			if status != 0 || remark == "" {
				t.Fatalf("status %d, standard error:\n%s", status, errOut)
			}
			if !strings.Contains(out, "\n# "+remark+"\n") {
				t.Errorf("the file does not contain the remark %q:\n%s", remark, out)
			}
			file := filepath.Join(dir, "appliance.toml")
			write(t, file, out)
			status, _, problems := muster(t, "check", "--config", file)
			if status != statusConfig || strings.Count(problems, "\n") != 1 || !strings.Contains(problems, test.key+": "+test.text) {
				t.Errorf("check of the file: status %d, want only the problem of %s:\n%s", status, test.key, problems)
			}
		})
	}
}
