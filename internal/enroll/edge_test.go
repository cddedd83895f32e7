package enroll

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
)

// collector1 returns the edge of the site ams.
func collector1() Edge {
	return Edge{Identity: "collector1.ams.example.net", Site: "ams", Hub: "hub.example.net:4222", Listen: "0.0.0.0:4222",
		InstallDir: "/etc/muster", Data: "/var/lib/muster"}
}

// enrollCollector1 enrolls the edge of the site ams, and returns the directory of its files.
func enrollCollector1(t *testing.T, s *Site, force bool) (dir string) {
	t.Helper()
	e := collector1()
	e.Force = force
	dir, err := s.EnrollEdge(e, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSite_EnrollEdgeWithCertificate(t *testing.T) {
	s := newSite(t, false)
	dir := enrollCollector1(t, s, false)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		leaf := leafOf(t, s, usage, dir, "cert.pem")
		if leaf.Subject.CommonName != "collector1.ams.example.net" {
			t.Errorf("have %s", leaf.Subject)
		}
		for _, name := range []string{"collector1.ams.example.net", "localhost", "127.0.0.1"} {
			if err := leaf.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
	}
	if err := newPeer(t, s, read(t, s.Dir, "ca.pem")).handshakeWith(t, dir, "collector1.ams.example.net"); err != nil {
		t.Errorf("a node that was enrolled in the directory: %v", err)
	}
	if read(t, dir, "crl.pem") != read(t, s.Dir, "crl.pem") {
		t.Error("the edge does not have the CRL")
	}
	if _, err := os.Stat(filepath.Join(dir, "server.jwt")); err == nil {
		t.Error("the edge has a token too")
	}
}

func TestSite_EnrollEdgeWithToken(t *testing.T) {
	s := newSite(t, true)
	dir := enrollCollector1(t, s, false)
	leafOf(t, s, x509.ExtKeyUsageServerAuth, dir, "cert.pem")
	issuer, err := choria.PublicKey(s.IssuerKey())
	if err != nil {
		t.Fatal(err)
	}
	claims, err := choria.NewTokenVerifier(choria.Issuers{"choria": issuer}, choria.Signers{}).Verify(
		read(t, dir, "server.jwt"), time.Now())
	if err != nil || claims.Identity != "collector1.ams.example.net" {
		t.Fatalf("have %+v %v", claims, err)
	}
	seed, err := hex.DecodeString(read(t, dir, "server.seed"))
	if err != nil {
		t.Fatal(err)
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	if claims.PublicKey != hex.EncodeToString(public) {
		t.Error("the seed does not belong to the token")
	}
	conf := read(t, dir, "appliance.toml")
	for _, want := range []string{`token = "file:/etc/muster/server.jwt"`, `seed = "/etc/muster/server.seed"`,
		"[broker.issuers]\nchoria = \"" + s.IssuerKey() + `"`, `revoked_tokens = "/etc/muster/revoked.txt"`} {
		if !strings.Contains(conf, want) {
			t.Errorf("%s is not in\n%s", want, conf)
		}
	}
}

func TestSite_EnrollEdgeRejectsInvalidNames(t *testing.T) {
	for name, change := range map[string]func(*Edge){
		"a name that is not a host": func(e *Edge) { e.Identity = "a_b" },
		"a port in the name":        func(e *Edge) { e.Identity = "collector1:4222" },
		"no site":                   func(e *Edge) { e.Site = "" },
		"a site of two tokens":      func(e *Edge) { e.Site = "ams.dc1" },
		"a relative directory":      func(e *Edge) { e.InstallDir = "muster" },
	} {
		t.Run(name, func(t *testing.T) {
			s, e := newSite(t, false), collector1()
			change(&e)
			if _, err := s.EnrollEdge(e, time.Now()); err == nil || len(s.Edges()) > 0 {
				t.Errorf("have %v, edges %v", err, s.Edges())
			}
		})
	}
}

func TestSite_EnrollEdgeOverwritesOnlyWithForce(t *testing.T) {
	s := newSite(t, false)
	dir := enrollCollector1(t, s, false)
	before := read(t, dir, "key.pem")
	if _, err := s.EnrollEdge(collector1(), time.Now()); err == nil || read(t, dir, "key.pem") != before {
		t.Errorf("overwritten: %v", err)
	}
	enrollCollector1(t, s, true)
	if read(t, dir, "key.pem") == before {
		t.Error("not overwritten")
	}
}

// TestSite_EdgeDuringRotation checks that nodes that trust only the old CA accept an edge with a certificate of the
// new one, and that the end of the rotation waits for the edge.
func TestSite_EdgeDuringRotation(t *testing.T) {
	for name, tokens := range map[string]bool{"certificates": false, "tokens": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tokens)
			old := newPeer(t, s, read(t, s.Dir, "ca.pem"))
			enrollCollector1(t, s, false)
			if err := s.RotateCA(time.Now()); err != nil {
				t.Fatal(err)
			}
			mustWaitFor(t, s.FinishCA(false, time.Now()), "collector1.ams.example.net")
			dir := enrollCollector1(t, s, true)
			if err := old.handshakeWith(t, dir, "collector1.ams.example.net"); err != nil {
				t.Error(err)
			}
			if err := s.FinishCA(false, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSite_RevokeEdge(t *testing.T) {
	s := newSite(t, false)
	leaf := leafOf(t, s, x509.ExtKeyUsageClientAuth, enrollCollector1(t, s, false), "cert.pem")
	if !s.HasEdge("collector1.ams.example.net") || s.HasClient("collector1.ams.example.net") {
		t.Error("the edge is not an edge")
	}
	revoke(t, s, "collector1.ams.example.net")
	if !s.revokedSerials()[leaf.SerialNumber.String()] {
		t.Error("not revoked")
	}
}
