package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// documented are the commands of the example in docs/security.md, as they stand there.
func documented(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands [][]string
	for _, line := range regexp.MustCompile(`(?m)^    muster (.*)$`).FindAllStringSubmatch(string(text), -1) {
		commands = append(commands, strings.Fields(line[1]))
	}
	if len(commands) != 3 || commands[0][0] != "init" || commands[1][0] != "enroll" || commands[2][0] != "run" {
		t.Fatalf("the example is %v", commands)
	}
	return commands
}

// conf is a server.conf, and the directory of the node's files, as if it had been copied.
type conf struct {
	t    *testing.T
	dir  string
	keys map[string]string
}

func readConf(t *testing.T, dir string) conf {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "server.conf"))
	if err != nil {
		t.Fatal(err)
	}
	c := conf{t, dir, map[string]string{}}
	for _, line := range regexp.MustCompile(`(?m)^([a-z._]+) = (.*)$`).FindAllStringSubmatch(string(text), -1) {
		c.keys[line[1]] = line[2]
	}
	return c
}

// file is the content of a file that a key names.
func (c conf) file(key string) []byte {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, path.Base(c.keys[key])))
	if err != nil {
		c.t.Fatalf("%s: %v", key, err)
	}
	return text
}

// start connects as a Choria server with this configuration would, and gives what it registers.
func (c conf) start() (*nats.Conn, []byte) {
	c.t.Helper()
	roots := x509.NewCertPool()
	body, err := choria.FileBody(c.keys["plugin.choria.registration.file_content.data"], time.Now(), false, c.file("plugin.choria.registration.file_content.data"), true)
	if err != nil {
		c.t.Fatal(err)
	}
	identity := c.keys["identity"]
	request := choria.NewRegistration(strings.Repeat("7", 32), identity, c.keys["collectives"], time.Now(), body)
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	options := []nats.Option{nats.Name(identity), nats.Secure(config)}
	var raw []byte
	if c.keys["plugin.security.provider"] == "file" {
		roots.AppendCertsFromPEM(c.file("plugin.security.file.ca"))
		certificate, keyText := c.file("plugin.security.file.certificate"), c.file("plugin.security.file.key")
		pair, err := tls.X509KeyPair(certificate, keyText)
		if err != nil {
			c.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
		request.Caller = "choria=" + identity
		if raw, err = request.EncodeV1(pair.PrivateKey.(*rsa.PrivateKey), string(certificate)); err != nil {
			c.t.Fatal(err)
		}
	} else {
		roots.AppendCertsFromPEM(c.file("plugin.security.choria.ca"))
		seed, err := hex.DecodeString(string(c.file("plugin.security.choria.seed_file")))
		if err != nil {
			c.t.Fatal(err)
		}
		key, token := ed25519.NewKeyFromSeed(seed), string(c.file("plugin.security.choria.token_file"))
		options = append(options, nats.Token(token), nats.UserJWT(func() (string, error) { return token, nil },
			func(nonce []byte) ([]byte, error) { return ed25519.Sign(key, nonce), nil }))
		if raw, err = request.EncodeV2(key, token); err != nil {
			c.t.Fatal(err)
		}
	}
	nc, err := nats.Connect(c.keys["plugin.choria.middleware_hosts"], options...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	return nc, raw
}

func TestTheExampleOfTheDocumentationEndsWithARegistration(t *testing.T) {
	for verified, flags := range map[string][]string{"x509": nil, "jwt": {"--issuer"}} {
		t.Run(verified, func(t *testing.T) {
			commands := documented(t)
			t.Chdir(t.TempDir())
			listen := free(t)
			// There is no host of that name here, and the usual port may be taken.
			init := strings.Fields(strings.ReplaceAll(strings.Join(commands[0], " "), "collector1.example.net", "127.0.0.1"))
			if status, out, errOut := muster(t, append(append(init, flags...), "--listen", listen)...); status != 0 || !strings.Contains(out, "enroll NODE --dir site") {
				t.Fatalf("%d: %s%s", status, out, errOut)
			}
			appendTo(t, "site/appliance.toml", "\n[console]\nlisten = \"127.0.0.1:0\"\n")
			if status, out, errOut := muster(t, commands[1]...); status != 0 || !strings.Contains(out, "choria server run --config /etc/choria/server.conf") {
				t.Fatalf("%d: %s%s", status, out, errOut)
			}
			ctx, stop := context.WithCancel(t.Context())
			var out, log buffer
			ended := make(chan int)
			go func() { ended <- Run(ctx, commands[2], &out, &log) }()
			wait.Eventually(t, func() error {
				if !strings.Contains(log.String(), "ready: ") {
					return fmt.Errorf("not ready: %s", &log)
				}
				return nil
			})
			node := readConf(t, "site/nodes/web1.example.net")
			nc, raw := node.start()
			if err := nc.Publish(node.keys["collectives"]+".broadcast.agent.registration", raw); err != nil {
				t.Fatal(err)
			}
			wait.Eventually(t, func() error { return storedAs(t, listen, verified) })
			stop()
			if status := <-ended; status != 0 {
				t.Errorf("status %d: %s", status, &log)
			}
		})
	}
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// storedAs asks, as who may read the data directory, for the node's last registration.
func storedAs(t *testing.T, listen, verified string) error {
	t.Helper()
	token, err := os.ReadFile("site/data/admin.token")
	if err != nil {
		return err
	}
	nc, err := nats.Connect(listen, nats.Token(string(token)), nats.RootCAs("site/ca.pem"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	s, err := js.Stream(t.Context(), "CHORIA_REGISTRATION")
	if err != nil {
		return err
	}
	m, err := s.GetLastMsgForSubject(t.Context(), "choria.node_metadata.web1.example.net")
	if err != nil {
		return err
	}
	if how := m.Header.Get("Muster-Verified"); how != verified {
		t.Errorf("verified as %q, want %q", how, verified)
	}
	return nil
}

func TestInitAndEnrollSayWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"init", "--name", "x"}, statusUsage, "--dir is required"},
		{[]string{"init", "--dir", dir}, statusUsage, "--name is required"},
		{[]string{"init", "--dir", dir, "--name", "x", "--listen", "4222"}, statusUsage, `--listen "4222"`},
		{[]string{"init", "--dir", dir, "--name", "a b"}, statusFailed, `the name "a b" is not a valid host name`},
		{[]string{"enroll"}, statusUsage, "accepts 1 arg"},
		{[]string{"enroll", "web1"}, statusUsage, "--dir is required"},
		{[]string{"enroll", "web1", "--dir", dir}, statusFailed, "make it with"},
	} {
		if status, _, errOut := muster(t, test.args...); status != test.status || !strings.Contains(errOut, test.want) {
			t.Errorf("%v: status %d, %s", test.args, status, errOut)
		}
	}
}

func TestInitReplacesAConfigurationThatSaysNothing(t *testing.T) {
	shipped, err := os.ReadFile("../../appliance.toml")
	if err != nil {
		t.Fatal(err)
	}
	for more, want := range map[string]int{"": 0, "memory_limit = '1GiB'": 1, "memory_limit = 5": 1} {
		dir := t.TempDir()
		text := string(shipped)
		if more != "" {
			text = strings.Replace(text, `memory_limit = "auto"`, more, 1)
		}
		if err := os.WriteFile(filepath.Join(dir, "appliance.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, errOut := muster(t, "init", "--dir", dir, "--name", "collector1.example.net")
		if status != want || (want == 1) != strings.Contains(errOut, "appliance.toml exists already; --force overwrites it") {
			t.Errorf("with %q: %d %s", more, status, errOut)
		}
	}
}
