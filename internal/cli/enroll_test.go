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

// documented returns the commands of the example in docs/security.md: init, enroll and run.
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
	commands = commands[:min(3, len(commands))]
	if len(commands) != 3 || commands[0][0] != "init" || commands[1][0] != "enroll" || commands[2][0] != "run" {
		t.Fatalf("the example is %v", commands)
	}
	return commands
}

// choriaConf is a server.conf or client.conf in a directory with its files, as if they had been copied to it.
type choriaConf struct {
	t    *testing.T
	dir  string
	keys map[string]string
}

func readNodeConf(t *testing.T, dir string) choriaConf {
	t.Helper()
	return readConf(t, filepath.Join(dir, "server.conf"))
}

func readConf(t *testing.T, file string) choriaConf {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := choriaConf{t, filepath.Dir(file), map[string]string{}}
	for _, line := range regexp.MustCompile(`(?m)^([a-z._]+) = (.*)$`).FindAllStringSubmatch(string(text), -1) {
		c.keys[line[1]] = line[2]
	}
	return c
}

// file returns the content of the file that a key names.
func (c choriaConf) file(key string) []byte {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, path.Base(c.keys[key])))
	if err != nil {
		c.t.Fatalf("%s: %v", key, err)
	}
	return text
}

// start connects as a Choria server with this configuration does, and returns the connection and the
// registration to publish.
func (c choriaConf) start() (*nats.Conn, []byte) {
	c.t.Helper()
	nc, raw, err := c.connect()
	if err != nil {
		c.t.Fatal(err)
	}
	return nc, raw
}

// connect does what start does, and returns the error with which the connection fails.
func (c choriaConf) connect() (*nats.Conn, []byte, error) {
	c.t.Helper()
	const dataKey = "plugin.choria.registration.file_content.data"
	body, err := choria.FileBody(c.keys[dataKey], time.Now(), false, c.file(dataKey), true)
	if err != nil {
		c.t.Fatal(err)
	}
	identity := c.keys["identity"]
	request := choria.NewRegistration(strings.Repeat("7", 32), identity, c.keys["collectives"], time.Now(), body)
	options, encode := c.credentials(identity)
	raw, err := encode(request)
	if err != nil {
		c.t.Fatal(err)
	}
	nc, err := c.dial(options)
	return nc, raw, err
}

func (c choriaConf) dial(options []nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect(c.keys["plugin.choria.middleware_hosts"], options...)
	if err == nil {
		c.t.Cleanup(nc.Close)
	}
	return nc, err
}

// credentials returns the options with which Choria connects, and a function that signs a request.
func (c choriaConf) credentials(name string) ([]nats.Option, func(choria.Request) ([]byte, error)) {
	c.t.Helper()
	roots := x509.NewCertPool()
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	options := []nats.Option{nats.Name(name), nats.Secure(config), nats.NoReconnect()}
	if c.keys["plugin.security.provider"] == "file" {
		roots.AppendCertsFromPEM(c.file("plugin.security.file.ca"))
		certificate, keyText := c.file("plugin.security.file.certificate"), c.file("plugin.security.file.key")
		pair, err := tls.X509KeyPair(certificate, keyText)
		if err != nil {
			c.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
		return options, func(request choria.Request) ([]byte, error) {
			request.Caller = "choria=" + name
			return request.EncodeV1(pair.PrivateKey.(*rsa.PrivateKey), string(certificate))
		}
	}
	roots.AppendCertsFromPEM(c.file("plugin.security.choria.ca"))
	seed, err := hex.DecodeString(string(c.file("plugin.security.choria.seed_file")))
	if err != nil {
		c.t.Fatal(err)
	}
	key, token := ed25519.NewKeyFromSeed(seed), string(c.file("plugin.security.choria.token_file"))
	options = append(options, nats.Token(token), nats.UserJWT(func() (string, error) { return token, nil },
		func(nonce []byte) ([]byte, error) { return ed25519.Sign(key, nonce), nil }))
	return options, func(request choria.Request) ([]byte, error) { return request.EncodeV2(key, token) }
}

func TestEnroll_DocumentedExampleEndsWithARegistration(t *testing.T) {
	for verified, flags := range map[string][]string{"x509": nil, "jwt": {"--issuer"}} {
		t.Run(verified, func(t *testing.T) {
			commands := documented(t)
			t.Chdir(t.TempDir())
			listen := freeAddress(t)
			// The test uses a name that exists on every machine, and a free port.
			init := strings.Fields(strings.ReplaceAll(strings.Join(commands[0], " "), "collector1.example.net", "127.0.0.1"))
			status, out, errOut := muster(t, append(append(init, flags...), "--listen", listen)...)
			if status != 0 || !strings.Contains(out, "enroll NODE --dir site") {
				t.Fatalf("%d: %s%s", status, out, errOut)
			}
			appendTo(t, "site/appliance.toml", "\n[console]\nlisten = \"127.0.0.1:0\"\n")
			status, out, errOut = muster(t, commands[1]...)
			if status != 0 || !strings.Contains(out, "choria server run --config /etc/choria/server.conf") {
				t.Fatalf("%d: %s%s", status, out, errOut)
			}
			ctx, stop := context.WithCancel(t.Context())
			var log buffer
			ended := make(chan int)
			go func() { ended <- Run(ctx, commands[2], &buffer{}, &log) }()
			wait.Eventually(t, func() error {
				if !strings.Contains(log.String(), "ready: ") {
					return fmt.Errorf("not ready: %s", &log)
				}
				return nil
			})
			node := readNodeConf(t, "site/nodes/web1.example.net")
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

// storedAs reads the node's last registration as administrator, and reports an error unless it was
// verified that way.
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

func TestInitAndEnroll_ReportInvalidFlags(t *testing.T) {
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
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			if status, _, errOut := muster(t, test.args...); status != test.status || !strings.Contains(errOut, test.want) {
				t.Errorf("status %d, %s", status, errOut)
			}
		})
	}
}
