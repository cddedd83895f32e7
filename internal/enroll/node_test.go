package enroll

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// requiredKeys are the keys that a Choria server needs to register; see docs/security.md.
var requiredKeys = []string{
	"identity", "collectives", "registration", "registerinterval", "registration_splay",
	"plugin.choria.registration.file_content.data", "plugin.choria.use_srv", "plugin.choria.middleware_hosts",
	"plugin.security.provider",
}

// parseConf parses a configuration as Choria does: key, "=", value; without quotes, and without
// comments after a value.
func parseConf(t *testing.T, text string) map[string]string {
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

func TestSite_EnrollWithCertificate(t *testing.T) {
	s := newSite(t, false)
	dir, err := s.Enroll(web1("/opt/choria"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conf := parseConf(t, read(t, dir, "server.conf"))
	for _, key := range append(requiredKeys,
		"plugin.security.file.certificate", "plugin.security.file.key", "plugin.security.file.ca") {
		if conf[key] == "" {
			t.Errorf("server.conf lacks %s", key)
		}
		// Every file that it names exists.
		if name, inside := strings.CutPrefix(conf[key], "/opt/choria/"); inside {
			read(t, dir, name)
		}
	}
	for key, want := range map[string]string{
		"plugin.security.provider": "file", "plugin.choria.middleware_hosts": "nats://collector1.example.net:4222",
		"collectives": "mcollective",
	} {
		if conf[key] != want {
			t.Errorf("%s is %q, want %q", key, conf[key], want)
		}
	}
	leaf := leafOf(t, s, x509.ExtKeyUsageClientAuth, dir, "cert.pem")
	if leaf.Subject.CommonName != "web1.example.net" || leaf.PublicKeyAlgorithm != x509.RSA {
		t.Errorf("have %s, %s", leaf.Subject, leaf.PublicKeyAlgorithm)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err != nil {
		t.Error(err)
	}
	if read(t, dir, "ca.pem") != read(t, s.Dir, "ca.pem") {
		t.Error("the node gets another CA")
	}
}

func TestSite_EnrollWithToken(t *testing.T) {
	s := newSite(t, true)
	dir, err := s.Enroll(web1("/etc/choria"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conf := parseConf(t, read(t, dir, "server.conf"))
	for _, key := range append(requiredKeys,
		"plugin.security.choria.token_file", "plugin.security.choria.seed_file", "plugin.security.choria.ca",
		"plugin.security.issuer.names", "plugin.security.issuer.choria.public") {
		if conf[key] == "" {
			t.Errorf("server.conf lacks %s", key)
		}
	}
	seed := read(t, dir, "server.seed") // Choria requires exactly 64 hex characters
	raw, err := hex.DecodeString(seed)
	if err != nil || len(raw) != ed25519.SeedSize {
		t.Fatalf("the seed is %q", seed)
	}
	issuer, err := choria.PublicKey(conf["plugin.security.issuer.choria.public"])
	if err != nil {
		t.Fatal(err)
	}
	tokens := choria.NewTokenVerifier(choria.Issuers{"choria": issuer}, choria.Signers{})
	claims, err := tokens.Verify(read(t, dir, "server.jwt"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	nonce := []byte("nonce")
	if err := claims.CheckSignature(nonce, ed25519.Sign(ed25519.NewKeyFromSeed(raw), nonce)); err != nil {
		t.Error(err)
	}
	if claims.Identity != "web1.example.net" || !slices.Equal(claims.Collectives, []string{conf["collectives"]}) {
		t.Errorf("have %+v, %v", claims, conf)
	}
}

func TestSite_EnrollRejectsInvalidNodes(t *testing.T) {
	s := newSite(t, false)
	for _, n := range []Node{
		{Identity: "", InstallDir: "/x"}, {Identity: "a b", InstallDir: "/x"}, {Identity: "../x", InstallDir: "/x"},
		{Identity: "web.*", InstallDir: "/x"}, {Identity: ">", InstallDir: "/x"}, {Identity: "a..b", InstallDir: "/x"},
		{Identity: "a=b", InstallDir: "/x"}, {Identity: strings.Repeat("a", 256), InstallDir: "/x"},
		{Identity: "web1", InstallDir: "x"}, {Identity: "web1", InstallDir: "/x\nregistration = y"},
		{Identity: "web1", InstallDir: "/x", Collective: "a b\nregistration = x"},
	} {
		t.Run(fmt.Sprintf("%q %q %q", n.Identity, n.InstallDir, n.Collective), func(t *testing.T) {
			if _, err := s.Enroll(n, time.Now()); err == nil {
				t.Error("the node was enrolled")
			}
		})
	}
}
