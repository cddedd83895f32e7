package enroll

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

func site(t *testing.T, issuer bool) *Site {
	t.Helper()
	o := Options{Dir: filepath.Join(t.TempDir(), "site"), Name: "collector1.example.net", Listen: "0.0.0.0:4222", Issuer: issuer}
	if _, err := Init(o, time.Now()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.IssuesTokens() != issuer {
		t.Errorf("it issues tokens: %v", s.IssuesTokens())
	}
	return s
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// leafOf is the certificate in a file, which must be under the site's authority.
func leafOf(t *testing.T, s *Site, usage x509.ExtKeyUsage, parts ...string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(read(t, parts...)))
	if block == nil {
		t.Fatalf("%v is not PEM", parts)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: s.Roots(), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		t.Errorf("%v: %v", parts, err)
	}
	return leaf
}

func TestABrokerIsKnownByItsNamesAndKeysAreSecret(t *testing.T) {
	s := site(t, true)
	leaf := leafOf(t, s, x509.ExtKeyUsageServerAuth, s.Dir, "cert.pem")
	for _, name := range []string{"collector1.example.net", "localhost", "127.0.0.1", "::1"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(s.Dir, "cert.pem"), filepath.Join(s.Dir, "key.pem")); err != nil {
		t.Error(err)
	}
	if _, err := s.Enroll(Node{Identity: "web1.example.net", Broker: "collector1.example.net:4222", InstallDir: "/etc/choria"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	secrets := 0
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		isSecret := strings.HasSuffix(path, ".key") || strings.HasSuffix(path, "key.pem") || strings.HasSuffix(path, ".seed") || strings.HasSuffix(path, ".jwt")
		if want := map[bool]fs.FileMode{true: 0o600, false: 0o644}[isSecret]; info.Mode() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode(), want)
		}
		if isSecret {
			secrets++
		}
		return nil
	})
	if err != nil || secrets != 5 {
		t.Errorf("%d secret files: %v", secrets, err)
	}
}

func TestTheServicesGroupReadsWhatTheBrokerNeedsAndNoMore(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives files to a group")
	}
	dir := t.TempDir()
	const group = 4711
	if err := os.Chown(dir, -1, group); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(Options{Dir: dir, Name: "collector1.example.net", Listen: "0.0.0.0:4222", Data: "/var/lib/muster", Issuer: true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"key.pem": "-rw-r----- 4711", "appliance.toml": "-rw-r----- 4711", "ca.key": "-rw------- 0", "issuer.seed": "-rw------- 0", "cert.pem": "-rw-r--r-- 0",
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if have := fmt.Sprintf("%s %d", info.Mode(), info.Sys().(*syscall.Stat_t).Gid); have != want {
			t.Errorf("%s: %s, want %s", name, have, want)
		}
	}
	if text := read(t, dir, "appliance.toml"); !strings.Contains(text, `data_dir = "/var/lib/muster"`) {
		t.Errorf("%s", text)
	}
}

// needed are the keys that a Choria server needs to register; see docs/security.md.
var needed = []string{
	"identity", "collectives", "registration", "registerinterval", "registration_splay",
	"plugin.choria.registration.file_content.data", "plugin.choria.use_srv", "plugin.choria.middleware_hosts", "plugin.security.provider",
}

// parse reads a file as Choria's parser does: key, "=", value; no quotes, no comments
// behind a value.
func parse(t *testing.T, text string) map[string]string {
	t.Helper()
	keys := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || value == "" || keys[key] != "" {
			t.Errorf("line %q", line)
		}
		keys[key] = value
	}
	return keys
}

func TestACertificateIsAllThatANodeNeeds(t *testing.T) {
	s := site(t, false)
	dir, err := s.Enroll(Node{Identity: "web1.example.net", Broker: "collector1.example.net:4222", InstallDir: "/opt/choria"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conf := parse(t, read(t, dir, "server.conf"))
	for _, key := range append(needed, "plugin.security.file.certificate", "plugin.security.file.key", "plugin.security.file.ca") {
		if conf[key] == "" {
			t.Errorf("server.conf lacks %s", key)
		}
		// Every file that it names is there to be copied.
		if name, inside := strings.CutPrefix(conf[key], "/opt/choria/"); inside {
			read(t, dir, name)
		}
	}
	if conf["plugin.security.provider"] != "file" || conf["plugin.choria.middleware_hosts"] != "nats://collector1.example.net:4222" || conf["collectives"] != "mcollective" {
		t.Errorf("have %v", conf)
	}
	leaf := leafOf(t, s, x509.ExtKeyUsageClientAuth, dir, "cert.pem")
	if leaf.Subject.CommonName != "web1.example.net" || leaf.PublicKeyAlgorithm != x509.RSA {
		t.Errorf("have %s, %s", leaf.Subject, leaf.PublicKeyAlgorithm)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err != nil {
		t.Error(err)
	}
	if read(t, dir, "ca.pem") != read(t, s.Dir, "ca.pem") {
		t.Error("the node would trust another CA")
	}
}

func TestATokenIsAllThatANodeNeeds(t *testing.T) {
	s := site(t, true)
	dir, err := s.Enroll(Node{Identity: "web1.example.net", Broker: "collector1.example.net:4222", InstallDir: "/etc/choria"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conf := parse(t, read(t, dir, "server.conf"))
	for _, key := range append(needed, "plugin.security.choria.token_file", "plugin.security.choria.seed_file", "plugin.security.choria.ca",
		"plugin.security.issuer.names", "plugin.security.issuer.choria.public") {
		if conf[key] == "" {
			t.Errorf("server.conf lacks %s", key)
		}
	}
	seed := read(t, dir, "server.seed") // exactly 64 hex characters, or Choria does not read it
	raw, err := hex.DecodeString(seed)
	if err != nil || len(raw) != ed25519.SeedSize {
		t.Fatalf("the seed is %q", seed)
	}
	issuer, err := choria.PublicKey(conf["plugin.security.issuer.choria.public"])
	if err != nil {
		t.Fatal(err)
	}
	claims, err := choria.NewTokenVerifier(choria.Issuers{"choria": issuer}, choria.Signers{}).Verify(read(t, dir, "server.jwt"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := claims.CheckSignature([]byte("nonce"), ed25519.Sign(ed25519.NewKeyFromSeed(raw), []byte("nonce"))); err != nil {
		t.Error(err)
	}
	if claims.Identity != "web1.example.net" || len(claims.Collectives) != 1 || claims.Collectives[0] != conf["collectives"] {
		t.Errorf("have %+v, %v", claims, conf)
	}
}

func TestNothingIsOverwrittenUnlessThatIsSaid(t *testing.T) {
	s := site(t, false)
	before := read(t, s.Dir, "ca.pem")
	o := Options{Dir: s.Dir, Name: "x", Listen: "0.0.0.0:4222"}
	if _, err := Init(o, time.Now()); err == nil || !strings.Contains(err.Error(), "ca.pem exists already; --force overwrites it") {
		t.Errorf("have %v", err)
	}
	// One file that is there keeps all the others from being written.
	half := filepath.Join(t.TempDir(), "half")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "appliance.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(Options{Dir: half, Name: "x"}, time.Now()); err == nil {
		t.Error("overwritten")
	}
	if entries, _ := os.ReadDir(half); len(entries) != 1 {
		t.Errorf("have %v", entries)
	}
	n := Node{Identity: "web1", Broker: "x:4222", InstallDir: "/etc/choria"}
	if _, err := s.Enroll(n, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enroll(n, time.Now()); err == nil {
		t.Error("a node is enrolled twice")
	}
	n.Force = true
	if _, err := s.Enroll(n, time.Now()); err != nil {
		t.Error(err)
	}
	if read(t, s.Dir, "ca.pem") != before {
		t.Error("the CA has changed")
	}
	o.Force = true
	if _, err := Init(o, time.Now()); err != nil || read(t, s.Dir, "ca.pem") == before {
		t.Errorf("not overwritten: %v", err)
	}
}

func TestAnIssuerThatIsGoneIssuesNothing(t *testing.T) {
	s := site(t, true)
	if _, err := Init(Options{Dir: s.Dir, Name: "x", Force: true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(s.Dir)
	if err != nil || again.IssuesTokens() {
		t.Errorf("it issues tokens still: %v", err)
	}
}

func TestWhatCannotBeASiteOrANode(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "muster init") {
		t.Errorf("an empty directory: %v", err)
	}
	for _, name := range []string{"", "a b", "c1.example.net:4222", "a_b", ".", "x.", "*"} {
		if _, err := Init(Options{Dir: t.TempDir(), Name: name}, time.Now()); err == nil {
			t.Errorf("a broker called %q", name)
		}
	}
	s := site(t, false)
	for _, n := range []Node{
		{Identity: "", InstallDir: "/x"}, {Identity: "a b", InstallDir: "/x"}, {Identity: "../x", InstallDir: "/x"},
		{Identity: "web.*", InstallDir: "/x"}, {Identity: ">", InstallDir: "/x"}, {Identity: "a..b", InstallDir: "/x"},
		{Identity: "web1", InstallDir: "x"}, {Identity: "web1", InstallDir: "/x\nregistration = y"},
		{Identity: "web1", InstallDir: "/x", Collective: "a b\nregistration = x"},
	} {
		if _, err := s.Enroll(n, time.Now()); err == nil {
			t.Errorf("enrolled: %+v", n)
		}
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "issuer.seed"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.Dir); err == nil {
		t.Error("a seed that is none")
	}
}
