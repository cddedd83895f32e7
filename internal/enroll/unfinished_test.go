package enroll

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// enroll enrolls nodes, and returns the directory of the last one.
func enroll(t *testing.T, s *Site, force bool, names ...string) (dir string) {
	t.Helper()
	for _, name := range names {
		node := web1("/etc/choria")
		node.Identity, node.Force = name, force
		var err error
		if dir, err = s.Enroll(node, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// revoke revokes a node.
func revoke(t *testing.T, s *Site, name string) {
	t.Helper()
	if _, _, err := s.Revoke(name, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// mustWaitFor fails the test unless an error says that these nodes are left.
func mustWaitFor(t *testing.T, err error, nodes ...string) {
	t.Helper()
	var unfinished *UnfinishedError
	if !errors.As(err, &unfinished) || !slices.Equal(unfinished.Names, nodes) {
		t.Errorf("have %v, want %v", err, nodes)
	}
}

func TestSite_FinishCAWaitsForCAFilesOfTokenNodes(t *testing.T) {
	s := newSite(t, true)
	dirs := map[string]string{}
	for _, name := range []string{"web1", "web2", "web3", "web4"} {
		dirs[name] = enroll(t, s, false, name)
	}
	if err := s.RotateCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	enroll(t, s, false, "web5")
	err := s.FinishCA(false, time.Now())
	mustWaitFor(t, err, "web1", "web2", "web3", "web4")
	if !strings.Contains(err.Error(), "4 nodes or clients have no ca.pem with the new CA, among them [web1") {
		t.Error(err)
	}
	bundle := read(t, s.Dir, "ca.pem")
	newest := s.authority.PEM()
	for name, text := range map[string]string{"web1": bundle, "web2": newest, "web3": "broken"} {
		if err := os.WriteFile(filepath.Join(dirs[name], "ca.pem"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustWaitFor(t, s.FinishCA(false, time.Now()), "web3", "web4")
	if err := os.Remove(filepath.Join(dirs["web3"], "ca.pem")); err != nil {
		t.Fatal(err)
	}
	revoke(t, s, "web4")
	if have := reopen(t, s).NeedOldCA(); len(have) > 0 {
		t.Errorf("%v are left", have)
	}
	if err := s.FinishCA(false, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestSite_FinishCASkipsRevokedCertificates(t *testing.T) {
	s := newSite(t, false)
	enroll(t, s, false, "gone", "web1")
	dir := enroll(t, s, true, "web1") // the first certificate is elsewhere
	revoke(t, s, "gone")
	if err := s.RotateCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	mustWaitFor(t, s.FinishCA(false, time.Now()), "web1")
	c, err := readCertificate(filepath.Join(dir, fileCert))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Revoke("unknown", []string{c.SerialNumber.Text(16)}, time.Now()); err != nil {
		t.Fatal(err)
	}
	mustWaitFor(t, s.FinishCA(false, time.Now()), "web1")
	revoke(t, s, "web1")
	if err := s.FinishCA(false, time.Now()); err != nil {
		t.Error(err)
	}
	if err := s.RotateCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	if have := s.NeedOldCA(); len(have) > 0 { // their CA does not count any more
		t.Errorf("%v are left", have)
	}
}

func TestSite_FinishCAWaitsForCAFilesOfCertificateNodes(t *testing.T) {
	s := newSite(t, false)
	old := read(t, s.Dir, "ca.pem")
	if err := s.RotateCA(time.Now()); err != nil {
		t.Fatal(err)
	}
	dir := enroll(t, s, false, "web1")
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	mustWaitFor(t, s.FinishCA(false, time.Now()), "web1")
}

func TestSite_FinishIssuerSkipsRevokedTokens(t *testing.T) {
	s := newSite(t, true)
	enroll(t, s, false, "gone", "web1")
	revoke(t, s, "gone")
	if _, _, err := s.NextIssuer(); err != nil {
		t.Fatal(err)
	}
	if err := s.SwitchIssuer(); err != nil {
		t.Fatal(err)
	}
	mustWaitFor(t, s.CheckFinishIssuer(false), "web1")
	revoke(t, s, "web1")
	if err := s.CheckFinishIssuer(false); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(s.RevokedTokens(), []byte("a list that is not valid\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustWaitFor(t, s.CheckFinishIssuer(false), "gone", "web1")
}
