package enroll

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInit_BrokerCertificateHasItsNames(t *testing.T) {
	s := newSite(t, true)
	leaf := leafOf(t, s, x509.ExtKeyUsageServerAuth, s.Dir, "cert.pem")
	for _, name := range []string{"collector1.example.net", "localhost", "127.0.0.1", "::1"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(s.Dir, "cert.pem"), filepath.Join(s.Dir, "key.pem")); err != nil {
		t.Error(err)
	}
}

func TestInit_RemovesIssuerOfEarlierSite(t *testing.T) {
	s := newSite(t, true)
	if _, err := Init(Options{Dir: s.Dir, Name: "x", Force: true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(s.Dir)
	if err != nil || again.IssuesTokens() {
		t.Errorf("the site still issues tokens: %v", err)
	}
}

func TestInit_RejectsInvalidNames(t *testing.T) {
	for _, name := range []string{"", "a b", "c1.example.net:4222", "a_b", ".", "x.", "*"} {
		t.Run(name, func(t *testing.T) {
			if _, err := Init(Options{Dir: t.TempDir(), Name: name}, time.Now()); err == nil {
				t.Errorf("the name %q was accepted", name)
			}
		})
	}
}

func TestOpen_RejectsIncompleteSites(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "muster init") {
		t.Errorf("an empty directory: %v", err)
	}
	s := newSite(t, false)
	if err := os.WriteFile(filepath.Join(s.Dir, "issuer.seed"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.Dir); err == nil {
		t.Error("an invalid seed was accepted")
	}
}
