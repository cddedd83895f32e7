package enroll

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// newSite makes a site and opens it.
func newSite(t *testing.T, issuer bool) *Site {
	t.Helper()
	o := Options{
		Dir: filepath.Join(t.TempDir(), "site"), Name: "collector1.example.net", Listen: "0.0.0.0:4222", Issuer: issuer,
	}
	if _, err := Init(o, time.Now()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.IssuesTokens() != issuer {
		t.Errorf("IssuesTokens is %v", s.IssuesTokens())
	}
	return s
}

// web1 returns a node with its files in a directory.
func web1(installDir string) Node {
	return Node{Identity: "web1.example.net", Broker: "collector1.example.net:4222", InstallDir: installDir}
}

// read returns the text of the file with the joined path.
func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// leafOf returns the certificate in a file and checks that the site's authority issued it.
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
	options := x509.VerifyOptions{Roots: s.Roots(), KeyUsages: []x509.ExtKeyUsage{usage}}
	if _, err := leaf.Verify(options); err != nil {
		t.Errorf("%v: %v", parts, err)
	}
	return leaf
}
