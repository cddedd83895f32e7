package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/enroll"
)

// openConsole runs an appliance whose console listens beyond loopback, with TLS and a token in a
// file.
func openConsole(t *testing.T) (config, url, token string, site *enroll.Site) {
	t.Helper()
	dir := t.TempDir()
	init := []string{"init", "--dir", dir, "--name", "muster.example.net", "--listen", freeAddress(t)}
	if status, _, errOut := muster(t, init...); status != 0 {
		t.Fatal(errOut)
	}
	site, err := enroll.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	token = filepath.Join(dir, "console.token")
	if err := os.WriteFile(token, []byte("a token that is long enough\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(freeAddress(t))
	config = writeConfig(t, "identity = 'lab'\ndata_dir = '"+t.TempDir()+"'\n[broker]\nlisten = '"+freeAddress(t)+"'\n"+
		"[console]\nlisten = '0.0.0.0:"+port+"'\ntoken = 'file:"+token+"'\n"+
		"[console.tls]\ncert = '"+site.Files().Cert+"'\nkey = '"+site.Files().Key+"'\n")
	log, _ := startAppliance(t, config)
	if !strings.Contains(log.String(), "console=https://") {
		t.Error(log)
	}
	return config, "https://127.0.0.1:" + port, token, site
}

func TestConsoleCommand_TokenAndTLS(t *testing.T) {
	config, url, token, site := openConsole(t)
	plain := strings.Replace(url, "https", "http", 1)
	for _, test := range []struct {
		name   string
		args   []string
		status int
		err    string
	}{
		{"configuration", []string{"--config", config}, 0, ""},
		{"CA and token", []string{"--server", url, "--token", "file:" + token, "--ca", site.Files().CA}, 0, ""},
		{"no CA", []string{"--server", url, "--token", "file:" + token}, 1, "certificate"},
		{
			"http", []string{"--server", plain, "--token", "file:" + token}, 1,
			"uses HTTPS; use https://127.0.0.1:",
		},
		{"no token", []string{"--server", url, "--ca", site.Files().CA}, 1, "the console requires its token"},
		{"missing token file", []string{"--server", url, "--token", "file:/nowhere"}, 2, "--token: open /nowhere"},
		{"missing CA file", []string{"--server", url, "--ca", "/nowhere"}, 2, "--ca: open /nowhere"},
		{"token without server", []string{"--config", config, "--token", "x"}, 2, "--token and --ca belong to --server"},
		{
			"another scheme", []string{"--server", "ftp://127.0.0.1:1"}, 2,
			"--server ftp://127.0.0.1:1: want http:// or https://",
		},
		{"CA file without certificate", []string{"--server", url, "--ca", token}, 2, "has no certificate in PEM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, out, errOut := muster(t, append([]string{"fleet"}, test.args...)...)
			if status != test.status || !strings.Contains(errOut, test.err) ||
				(status == 0) != strings.HasPrefix(out, "STATE") {
				t.Errorf("status %d\n%s%s", status, out, errOut)
			}
		})
	}
	t.Run("certificate is judged", func(t *testing.T) {
		status, out, _ := muster(t, "check", "health", "--config", config, "--certificate", "10000,7")
		if status != 1 || !strings.Contains(out, "certificate expires in 18") {
			t.Errorf("%d %s", status, out)
		}
	})
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("unreadable key", func(t *testing.T) { testUnreadableKey(t, string(text), site) })
	t.Run("wrong token", func(t *testing.T) {
		for _, other := range []string{"another token, also long", ""} {
			config := strings.NewReplacer("file:"+token, other, "0.0.0.0", "127.0.0.1").Replace(string(text))
			status, _, errOut := muster(t, "nodes", "--config", writeConfig(t, config))
			want := "the console requires its token, and the request has none or a wrong one"
			if status != 1 || !strings.Contains(errOut, want) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("token %q: status %d, %s", other, status, errOut)
			}
		}
	})
}

// A user who asks the console needs to read neither the key of its certificate nor the files of
// the broker. The user who runs the appliance does.
func testUnreadableKey(t *testing.T, config string, site *enroll.Site) {
	keyless := strings.Replace(config, site.Files().Key, "/nowhere/key.pem", 1)
	status, out, errOut := muster(t, "fleet", "--config", writeConfig(t, keyless+"[broker.tls]\ncert = '/nowhere'\n"))
	if status != 0 || !strings.HasPrefix(out, "STATE") {
		t.Errorf("fleet: %d %s", status, errOut)
	}
	status, _, errOut = muster(t, "check", "--config", writeConfig(t, keyless))
	if status != 78 || !strings.Contains(errOut, "/nowhere/key.pem: no such file") {
		t.Errorf("check: %d %s", status, errOut)
	}
}
