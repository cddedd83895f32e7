package cli

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/enroll"
)

// openConsole runs an appliance whose console is open to the network, with a token in a file.
func openConsole(t *testing.T) (config, url, token string, site *enroll.Site) {
	t.Helper()
	dir := t.TempDir()
	if status, _, errOut := muster(t, "init", "--dir", dir, "--name", "muster.example.net", "--listen", free(t)); status != 0 {
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
	_, port, _ := net.SplitHostPort(free(t))
	config = file(t, "identity = 'lab'\ndata_dir = '"+t.TempDir()+"'\n[broker]\nlisten = '"+free(t)+"'\n[console]\nlisten = '0.0.0.0:"+port+
		"'\ntoken = 'file:"+token+"'\n[console.tls]\ncert = '"+site.Files().Cert+"'\nkey = '"+site.Files().Key+"'\n")
	log, _ := start(t, config)
	if !strings.Contains(log.String(), "console=https://") {
		t.Error(log)
	}
	return config, "https://127.0.0.1:" + port, token, site
}

func TestAnOpenConsoleWantsTokenAndTLS(t *testing.T) {
	config, url, token, site := openConsole(t)
	for label, test := range map[string]struct {
		args   []string
		status int
		err    string
	}{
		"by its configuration": {[]string{"--config", config}, 0, ""},
		"not trusted":          {[]string{"--server", url, "--token", "file:" + token}, 1, "certificate"},
		"without TLS":          {[]string{"--server", strings.Replace(url, "https", "http", 1), "--token", "file:" + token}, 1, "speaks HTTPS; name it as https://127.0.0.1:"},
		"by its CA":            {[]string{"--server", url, "--token", "file:" + token, "--ca", site.Files().CA}, 0, ""},
		"no token":             {[]string{"--server", url, "--ca", site.Files().CA}, 1, "the console wants its token"},
		"no file for a token":  {[]string{"--server", url, "--token", "file:/nowhere"}, 2, "--token: open /nowhere"},
		"no file for a CA":     {[]string{"--server", url, "--ca", "/nowhere"}, 2, "--ca: open /nowhere"},
		"token of whom":        {[]string{"--config", config, "--token", "x"}, 2, "--token and --ca are of a console that --server names"},
		"no HTTP":              {[]string{"--server", "ftp://127.0.0.1:1"}, 2, "--server ftp://127.0.0.1:1: want http:// or https://"},
		"no CA":                {[]string{"--server", url, "--ca", token}, 2, "has no certificate in PEM"},
	} {
		status, out, errOut := muster(t, append([]string{"fleet"}, test.args...)...)
		if status != test.status || !strings.Contains(errOut, test.err) || (status == 0) != strings.HasPrefix(out, "STATE") {
			t.Errorf("%s: status %d\n%s%s", label, status, out, errOut)
		}
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	// Who asks need not be able to read the key, nor what is of the broker; who runs it must.
	keyless := file(t, strings.Replace(string(text), site.Files().Key, "/nowhere/key.pem", 1)+"[broker.tls]\ncert = '/nowhere'\n")
	if status, out, errOut := muster(t, "fleet", "--config", keyless); status != 0 || !strings.HasPrefix(out, "STATE") {
		t.Errorf("without the key: %d %s", status, errOut)
	}
	keyless = file(t, strings.Replace(string(text), site.Files().Key, "/nowhere/key.pem", 1))
	if status, _, errOut := muster(t, "check", "--config", keyless); status != 78 || !strings.Contains(errOut, "cert.pem and /nowhere/key.pem: open /nowhere/key.pem: no such file") {
		t.Errorf("check without the key: %d %s", status, errOut)
	}
	if status, out, _ := muster(t, "check", "health", "--config", config, "--certificate", "10000,7"); status != 1 || !strings.Contains(out, "certificate for 18") {
		t.Errorf("the console's certificate is not judged: %d %s", status, out)
	}
	// Another token, and none, with the same trust.
	for _, other := range []string{strings.Replace(string(text), "file:"+token, "another token, also long", 1), strings.Replace(string(text), "file:"+token, "", 1)} {
		other = strings.Replace(other, "0.0.0.0", "127.0.0.1", 1)
		status, _, errOut := muster(t, "nodes", "--config", file(t, other))
		if status != 1 || !strings.Contains(errOut, "the console wants its token, and got none or another one") || strings.Count(errOut, "\n") != 1 {
			t.Errorf("wrong token: status %d, %s", status, errOut)
		}
	}
}

func TestASilentConsoleIsNoMissingOne(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and no more
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client := http.Client{Transport: &http.Transport{ResponseHeaderTimeout: time.Millisecond}}
	response, err := client.Get("http://" + silent.Addr().String())
	if err == nil {
		_ = response.Body.Close()
		t.Fatal("it answers")
	}
	if said := unanswered("http://x", err).Error(); !strings.Contains(said, "does not answer within 10s: it hangs or has too much to do") {
		t.Error(said)
	}
}

func TestHere(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", ":1": "127.0.0.1:1", "192.0.2.1:1": "192.0.2.1:1", "localhost:1": "localhost:1", "[::1]:1": "[::1]:1",
	} {
		if have := here(listen); have != want {
			t.Errorf("%s: %s", listen, have)
		}
	}
}
