package enroll

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/pki"
	"github.com/muster-appliance/muster/internal/revocation"
)

// peer is a node that has a certificate, and trusts some CAs.
type peer struct {
	pair  tls.Certificate
	roots *x509.CertPool
}

// newPeer issues a certificate for a node that trusts one CA.
func newPeer(t *testing.T, s *Site, trusted string) peer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := s.Certificate("web1", key.Public(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keyText, err := pki.KeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(keyText))
	if err != nil {
		t.Fatal(err)
	}
	p := peer{pair, x509.NewCertPool()}
	p.roots.AppendCertsFromPEM([]byte(trusted))
	return p
}

// handshake connects the node to a server with the files of the broker, which verifies the node.
func (p peer) handshake(t *testing.T, dir string) error {
	t.Helper()
	return p.handshakeWith(t, dir, "collector1.example.net")
}

// handshakeWith does what handshake does, with a broker of another name.
func (p peer) handshakeWith(t *testing.T, dir, name string) error {
	t.Helper()
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(read(t, dir, "ca.pem")))
	client, server := net.Pipe()
	defer client.Close()
	ended := make(chan error, 1)
	go func() {
		defer server.Close()
		ended <- tls.Server(server, &tls.Config{
			Certificates: []tls.Certificate{own}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
			MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, // both sides verify within the handshake
		}).Handshake()
	}()
	err = tls.Client(client, &tls.Config{
		RootCAs: p.roots, Certificates: []tls.Certificate{p.pair}, ServerName: name,
		MinVersion: tls.VersionTLS12,
	}).Handshake()
	_ = client.Close()
	return errors.Join(err, <-ended)
}

// reopen opens the site as the next command would.
func reopen(t *testing.T, s *Site) *Site {
	t.Helper()
	again, err := Open(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// TestSite_RotateCA interrupts a rotation after each of its steps: nodes with certificates of the old CA
// that trust only that one connect at any time, and the rotation can be completed.
func TestSite_RotateCA(t *testing.T) {
	for _, tokens := range []bool{false, true} {
		for limit := 0; ; limit++ {
			s := newSite(t, tokens)
			oldCA := read(t, s.Dir, "ca.pem")
			old := newPeer(t, s, oldCA)
			err := s.rotateCA(time.Now(), limit)
			if err != nil && !errors.Is(err, errInterrupted) {
				t.Fatal(err)
			}
			if err := old.handshake(t, s.Dir); err != nil {
				t.Errorf("interrupted after %d steps: %v", limit, err)
			}
			s = reopen(t, s)
			if limit > 0 && err != nil {
				if _, err := s.Enroll(web1("/etc/choria"), time.Now()); err == nil {
					t.Errorf("a node was enrolled after %d steps", limit)
				}
			}
			if err != nil {
				if err := s.RotateCA(time.Now()); err != nil {
					t.Fatalf("after %d steps: %v", limit, err)
				}
				s = reopen(t, s)
			}
			checkBothCAs(t, s, old, oldCA, err == nil)
			if err == nil {
				break
			}
		}
	}
}

// checkBothCAs checks a site with two CAs, and completes the rotation, perhaps interrupted after each
// step.
func checkBothCAs(t *testing.T, s *Site, old peer, oldCA string, interrupt bool) {
	t.Helper()
	newCA, found := strings.CutSuffix(read(t, s.Dir, "ca.pem"), oldCA)
	if !found || newCA == "" || !s.RotatesCA() {
		t.Fatalf("ca.pem is\n%s", read(t, s.Dir, "ca.pem"))
	}
	fresh := newPeer(t, s, newCA)
	for name, p := range map[string]peer{"old": old, "new": fresh} {
		if err := p.handshake(t, s.Dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.RotateCA(time.Now()); err == nil {
		t.Error("rotated twice")
	}
	limit := allSteps
	if interrupt {
		limit = 0
	}
	for ; ; limit++ {
		err := s.finishCA(false, time.Now(), limit)
		if fresh := fresh.handshake(t, s.Dir); fresh != nil {
			t.Errorf("finishing was interrupted after %d steps: %v", limit, fresh)
		}
		if err == nil {
			break
		}
		s = reopen(t, s)
	}
	if err := old.handshake(t, s.Dir); err == nil || read(t, s.Dir, "ca.pem") != newCA {
		t.Error("the old CA counts still")
	}
	s = reopen(t, s)
	if err := newPeer(t, s, newCA).handshake(t, s.Dir); err != nil || s.RotatesCA() {
		t.Errorf("after the rotation: %v", err)
	}
}

func TestSite_FinishCAWaitsForNodes(t *testing.T) {
	s := newSite(t, false)
	node := web1("/etc/choria")
	if _, err := s.Enroll(node, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.FinishCA(true, time.Now()); err == nil {
		t.Error("finished without a rotation")
	}
	if err := s.RotateCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	var unfinished *UnfinishedError
	if err := s.FinishCA(false, time.Now()); !errors.As(err, &unfinished) || unfinished.Names[0] != node.Identity {
		t.Errorf("have %v", err)
	}
	node.Force = true
	dir, err := s.Enroll(node, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if have := read(t, dir, "ca.pem"); have != read(t, s.Dir, "ca.pem") {
		t.Errorf("the node trusts\n%s", have)
	}
	if err := s.FinishCA(false, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestNextName(t *testing.T) {
	for name, want := range map[string]string{"CA": "CA (2)", "CA (2)": "CA (3)", "CA (x)": "CA (x) (2)"} {
		if have := nextName(name); have != want {
			t.Errorf("%q: have %q, want %q", name, have, want)
		}
	}
	for name, want := range map[string]string{"choria": "choria-2", "choria-2": "choria-3", "a-b": "a-b-2"} {
		if have := nextIssuerName(name); have != want {
			t.Errorf("%q: have %q, want %q", name, have, want)
		}
	}
}

// TestSite_RotateIssuer interrupts a rotation of the issuer after each of its steps.
func TestSite_RotateIssuer(t *testing.T) {
	for limit := 0; ; limit++ {
		s := newSite(t, true)
		node := web1("/etc/choria")
		if _, err := s.Enroll(node, time.Now()); err != nil {
			t.Fatal(err)
		}
		oldKey := s.IssuerKey()
		name, key, err := s.NextIssuer()
		if err != nil || name != "choria-2" || s.IssuerKey() != oldKey {
			t.Fatal(name, err)
		}
		s = reopen(t, s)
		if again, sameKey, err := s.NextIssuer(); err != nil || again != name || sameKey != key {
			t.Errorf("the new issuer changed: %v", err)
		}
		err = s.switchIssuer(limit)
		s = reopen(t, s)
		if limit > 0 && err != nil {
			if _, err := s.Enroll(node, time.Now()); err == nil || !strings.Contains(err.Error(), "interrupted") {
				t.Errorf("after %d steps: %v", limit, err)
			}
		}
		if err != nil {
			if err := s.SwitchIssuer(); err != nil {
				t.Fatalf("after %d steps: %v", limit, err)
			}
		}
		checkBothIssuers(t, reopen(t, s), issuer{"choria", oldKey}, issuer{name, key})
		if err == nil {
			break
		}
	}
}

// checkBothIssuers checks a site with two issuers, and completes the rotation.
func checkBothIssuers(t *testing.T, s *Site, old, next issuer) {
	t.Helper()
	if err := s.CheckFinishIssuer(false); err == nil || !strings.Contains(err.Error(), "web1.example.net") {
		t.Errorf("a node has a token of the old issuer: %v", err)
	}
	node := web1("/etc/choria")
	node.Force = true
	dir, err := s.Enroll(node, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	conf := parseConf(t, read(t, dir, "server.conf"))
	for key, want := range map[string]string{
		"plugin.security.issuer.names":           "choria-2,choria",
		"plugin.security.issuer.choria.public":   old.key,
		"plugin.security.issuer.choria-2.public": next.key,
	} {
		if conf[key] != want {
			t.Errorf("%s is %q, want %q", key, conf[key], want)
		}
	}
	public, err := choria.PublicKey(next.key)
	if err != nil {
		t.Fatal(err)
	}
	tokens := choria.NewTokenVerifier(choria.Issuers{next.name: public}, choria.Signers{})
	if _, err := tokens.Verify(read(t, dir, "server.jwt"), time.Now().Add(time.Second)); err != nil {
		t.Errorf("the new issuer: %v", err)
	}
	if err := errors.Join(s.CheckFinishIssuer(false), s.FinishIssuer()); err != nil {
		t.Error(err)
	}
	if s = reopen(t, s); s.IssuerStage() != IssuerAlone || s.IssuerName() != next.name || s.IssuerKey() != next.key {
		t.Errorf("finished as %s, stage %d", s.IssuerName(), s.IssuerStage())
	}
}

func TestSite_RevokeCertificates(t *testing.T) {
	s := newSite(t, false)
	now := time.Now()
	node := web1("/etc/choria")
	var certificates []*x509.Certificate
	for range 2 { // the second overwrites the first
		dir, err := s.Enroll(node, now)
		if err != nil {
			t.Fatal(err)
		}
		certificates = append(certificates, leafOf(t, s, x509.ExtKeyUsageClientAuth, dir, "cert.pem"))
		node.Force = true
	}
	node.Identity = "web2.example.net"
	dir, err := s.Enroll(node, now)
	if err != nil {
		t.Fatal(err)
	}
	other := leafOf(t, s, x509.ExtKeyUsageClientAuth, dir, "cert.pem")
	if err := s.RotateCA(now); err != nil {
		t.Fatal(err)
	}
	if count, file, err := s.Revoke("web1.example.net", nil, now); err != nil || count != 2 || file != s.CRL() {
		t.Errorf("%d in %s: %v", count, file, err)
	}
	if _, _, err := s.Revoke("web3", nil, now); err == nil || !strings.Contains(err.Error(), "give --serial") {
		t.Errorf("an unknown node: %v", err)
	}
	if _, _, err := s.Revoke("web3", []string{"xyz"}, now); err == nil {
		t.Error("a serial number that is not valid")
	}
	if count, _, err := s.Revoke("web3", []string{"serial=0A1B", "0a:1b"}, now); err != nil || count != 1 {
		t.Errorf("%d by serial number: %v", count, err)
	}
	crls, err := revocation.ParseCRLs([]byte(read(t, s.Dir, "crl.pem")))
	if err != nil || len(crls) != 2 {
		t.Fatalf("%d CRLs: %v", len(crls), err)
	}
	cas := []*x509.Certificate{s.authority.CA(), s.rotation.oldCA.CA()}
	lists := revocation.NewLists(crls, cas, nil, now)
	revoked := func(c *x509.Certificate) bool { return lists.Revoked(lists.Links([]*x509.Certificate{c, cas[1]})) }
	if !revoked(certificates[0]) || !revoked(certificates[1]) || revoked(other) || len(lists.Warnings(now)) > 0 {
		t.Errorf("warnings %v", lists.Warnings(now))
	}
	if len(crls[0].RevokedCertificateEntries) != 3 || crls[0].Number.Int64() < 3 {
		t.Errorf("CRL %d has %d entries", crls[0].Number, len(crls[0].RevokedCertificateEntries))
	}
}

func TestSite_RevokeTokens(t *testing.T) {
	s := newSite(t, true)
	now := time.Now()
	node := web1("/etc/choria")
	dir, err := s.Enroll(node, now)
	if err != nil {
		t.Fatal(err)
	}
	first := read(t, dir, "server.jwt")
	for range 2 { // the second changes nothing
		if _, file, err := s.Revoke(node.Identity, nil, now); err != nil || file != s.RevokedTokens() {
			t.Fatal(file, err)
		}
	}
	node.Force = true
	if _, err := s.Enroll(node, now); err != nil { // in the same second
		t.Fatal(err)
	}
	list, err := revocation.ParseTokens(read(t, s.Dir, "revoked.txt"))
	if err != nil || list.Len() != 2 {
		t.Fatalf("%d entries: %v", list.Len(), err)
	}
	seed, _ := hex.DecodeString(s.IssuerKey())
	tokens := choria.NewTokenVerifier(choria.Issuers{"choria": seed}, choria.Signers{})
	tokens.Revoke(list)
	_, firstErr := tokens.Verify(first, now)
	_, secondErr := tokens.Verify(read(t, dir, "server.jwt"), now)
	if !errors.Is(firstErr, choria.ErrRevoked) || secondErr != nil {
		t.Errorf("first %v, then %v", firstErr, secondErr)
	}
	for _, name := range []string{"", "a b", "#x"} {
		if _, _, err := s.Revoke(name, nil, now); err == nil {
			t.Errorf("%q was revoked", name)
		}
	}
	if _, _, err := s.Revoke("x", []string{"0a"}, now); err == nil {
		t.Error("a serial number with tokens")
	}
}

// TestSite_RevokeAtTheSameTime revokes many nodes at once: none is lost.
func TestSite_RevokeAtTheSameTime(t *testing.T) {
	const nodes = 8
	s := newSite(t, true)
	ended := make(chan error)
	for n := range nodes {
		go func() {
			_, _, err := reopen(t, s).Revoke(fmt.Sprintf("web%d", n), nil, time.Now())
			ended <- err
		}()
	}
	var all []error
	for range nodes {
		all = append(all, <-ended)
	}
	list, err := revocation.ParseTokens(read(t, s.Dir, "revoked.txt"))
	if err := errors.Join(append(all, err)...); err != nil || list.Len() != nodes {
		t.Errorf("%d entries: %v", list.Len(), err)
	}
}

func TestInit_RemovesRotationOfEarlierSite(t *testing.T) {
	s := newSite(t, true)
	if err := s.RotateCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(Options{Dir: s.Dir, Name: "x", Force: true}, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, name := range rotationFiles {
		if _, err := os.Stat(filepath.Join(s.Dir, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}
