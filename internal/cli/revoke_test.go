package cli

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// madeSite is what "muster init" wrote, and an appliance that runs with it.
type madeSite struct {
	*process
	t   *testing.T
	dir string
}

// newMadeSite makes a site with these flags of init, and runs it.
func newMadeSite(t *testing.T, flags ...string) *madeSite {
	t.Helper()
	s := &madeSite{t: t, dir: filepath.Join(t.TempDir(), "site")}
	s.muster(append([]string{"init", "--name", "127.0.0.1", "--listen", freeAddress(t)}, flags...)...)
	appendTo(t, filepath.Join(s.dir, "appliance.toml"), "\n[console]\nlisten = \"127.0.0.1:0\"\n"+
		"[adapter.registration]\nbind_sender = false\n") // a node may relay the messages of others
	s.start()
	return s
}

func (s *madeSite) start() {
	s.t.Helper()
	s.process = startProcess(s.t, filepath.Join(s.dir, "appliance.toml"))
}

// restart stops the appliance and starts it again.
func (s *madeSite) restart() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	<-s.ended
	s.start()
}

// reload makes the appliance read its files at once.
func (s *madeSite) reload() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
}

// muster runs a command in the site's directory, which must succeed, and returns what it printed.
func (s *madeSite) muster(args ...string) string {
	s.t.Helper()
	status, out, errOut := muster(s.t, append(args, "--dir", s.dir)...)
	if status != statusOK {
		s.t.Fatalf("%v: %d %s%s", args, status, out, errOut)
	}
	return out
}

// enroll enrolls a node, and copies its files to the node.
func (s *madeSite) enroll(node string, flags ...string) choriaConf {
	s.t.Helper()
	s.muster(append([]string{"enroll", node}, flags...)...)
	copied := filepath.Join(s.t.TempDir(), node)
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(s.dir, "nodes", node))); err != nil {
		s.t.Fatal(err)
	}
	return readNodeConf(s.t, copied)
}

// trustOnlyNewest makes a node trust the first CA in its file, and no other.
func trustOnlyNewest(t *testing.T, c choriaConf) {
	t.Helper()
	file := filepath.Join(c.dir, "ca.pem")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, rest := pem.Decode(text)
	if len(rest) == 0 {
		t.Fatal("there is one CA only")
	}
	write(t, file, string(pem.EncodeToMemory(first)))
}

// register publishes a registration over the connection.
func register(t *testing.T, nc *nats.Conn, c choriaConf, raw []byte) {
	t.Helper()
	if err := nc.Publish(c.keys["collectives"]+".broadcast.agent.registration", raw); err != nil {
		t.Fatal(err)
	}
}

// mustEnd waits until the connection has ended, and fails the test if the node can connect again.
func (s *madeSite) mustEnd(nc *nats.Conn, c choriaConf) {
	s.t.Helper()
	wait.Eventually(s.t, func() error {
		if !nc.IsClosed() {
			return fmt.Errorf("the connection is open: %s", s.log)
		}
		return nil
	})
	if _, _, err := c.connect(); err == nil {
		s.t.Error("the node connected again")
	}
}

// mustConnect fails the test unless the nodes connect.
func mustConnect(t *testing.T, nodes map[string]choriaConf) {
	t.Helper()
	for name, c := range nodes {
		if _, _, err := c.connect(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRevoke_EndsConnectionAndRejectsMessages(t *testing.T) {
	for name, flags := range map[string][]string{"certificates": nil, "tokens": {"--issuer"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newMadeSite(t, flags...)
			web1, web2 := s.enroll("web1.example.net"), s.enroll("web2.example.net")
			first, raw := web1.start()
			second, _ := web2.start()
			register(t, first, web1, raw)
			if err := first.Flush(); err != nil {
				t.Fatal(err)
			}
			out := s.muster("revoke", "web1.example.net")
			if !strings.Contains(out, "applies the change within seconds") {
				t.Errorf("printed %s", out)
			}
			s.reload()
			s.mustEnd(first, web1)
			register(t, second, web2, raw) // what web1 has signed
			wait.Eventually(t, func() error {
				_, out, errOut := muster(t, "rejected", "--server", s.console, "--csv")
				for _, want := range []string{",broker,revoked,", ",adapter registration,revoked,"} {
					if !strings.Contains(out, want) {
						return fmt.Errorf("%q is missing in %s%s", want, out, errOut)
					}
				}
				return nil
			})
			if err := second.Flush(); err != nil {
				t.Errorf("the other node: %v", err)
			}
			again := s.enroll("web1.example.net", "--force")
			wait.Eventually(t, func() error {
				_, _, err := again.connect()
				return err
			})
		})
	}
}

func TestRotate_CAWithBothKindsOfNodes(t *testing.T) {
	t.Parallel()
	s := newMadeSite(t)
	old := s.enroll("web1.example.net") // trusts the old CA only
	out := s.muster("rotate")
	for _, want := range []string{"enroll NODE", "Still to do, 1: web1.example.net", "--finish"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in %s", want, out)
		}
	}
	s.reload()
	newest := s.enroll("web2.example.net") // trusts the new CA only
	trustOnlyNewest(t, newest)
	wait.Eventually(t, func() error {
		_, _, err := newest.connect()
		return err
	})
	mustConnect(t, map[string]choriaConf{"old": old, "new": newest})
	s.restart()
	mustConnect(t, map[string]choriaConf{"old, after a restart": old, "new, after a restart": newest})
	first, _ := old.start()
	if status, _, errOut := muster(t, "rotate", "--finish", "--dir", s.dir); status != statusFailed ||
		!strings.Contains(errOut, "1 nodes or clients have not been enrolled again, among them [web1.example.net]") {
		t.Errorf("%d %s", status, errOut)
	}
	again := s.enroll("web1.example.net", "--force")
	second, _ := again.start()
	s.muster("rotate", "--finish")
	s.reload()
	s.mustEnd(first, old)
	mustConnect(t, map[string]choriaConf{"enrolled again": again, "new": newest})
	if err := second.Flush(); err != nil {
		t.Errorf("enrolled again: %v", err)
	}
	status, out, errOut := muster(t, "check", "--config", filepath.Join(s.dir, "appliance.toml"))
	if status != statusOK || strings.Contains(out, "warning") {
		t.Errorf("%d %s%s", status, out, errOut)
	}
}

// TestRotate_CAOfTokens has a node that trusts only the old CA until it gets the new ca.pem, and one that is
// revoked.
func TestRotate_CAOfTokens(t *testing.T) {
	t.Parallel()
	s := newMadeSite(t, "--issuer")
	web1 := s.enroll("web1.example.net")
	s.enroll("gone.example.net")
	s.muster("revoke", "gone.example.net")
	noted := filepath.Join(s.dir, "nodes", "web1.example.net", "ca.pem")
	out := s.muster("rotate")
	for _, want := range []string{"Still to do, 1: web1.example.net\n", "cp " + filepath.Join(s.dir, "ca.pem")} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in %s", want, out)
		}
	}
	if status, _, errOut := muster(t, "rotate", "--finish", "--dir", s.dir); status != statusFailed ||
		!strings.Contains(errOut, "1 nodes or clients have no ca.pem with the new CA, among them [web1.example.net]") {
		t.Errorf("%d %s", status, errOut)
	}
	s.reload()
	mustConnect(t, map[string]choriaConf{"with the old CA": web1})
	bundle, err := os.ReadFile(filepath.Join(s.dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, noted, string(bundle))
	write(t, filepath.Join(web1.dir, "ca.pem"), string(bundle))
	s.muster("rotate", "--finish")
	s.restart()
	mustConnect(t, map[string]choriaConf{"with both CAs": web1})
}

func TestRotate_IssuerInThreeStages(t *testing.T) {
	t.Parallel()
	s := newMadeSite(t, "--issuer")
	old := s.enroll("web1.example.net")
	if out := s.muster("rotate", "--issuer"); !strings.Contains(out, "Restart every appliance") {
		t.Errorf("printed %s", out)
	}
	still := s.enroll("web2.example.net")
	mustConnect(t, map[string]choriaConf{"old": old, "enrolled before the restart": still})
	s.restart()
	if out := s.muster("rotate", "--issuer"); !strings.Contains(out, "The new issuer, choria-2, issues the tokens") ||
		!strings.Contains(out, "Still to do, 2: web1.example.net web2.example.net") {
		t.Errorf("printed %s", out)
	}
	newest := s.enroll("web3.example.net")
	mustConnect(t, map[string]choriaConf{"old": old, "new": newest})
	s.muster("rotate", "--issuer", "--finish", "--force")
	s.restart()
	mustConnect(t, map[string]choriaConf{"new": newest})
	if _, _, err := old.connect(); err == nil {
		t.Error("the old issuer counts still")
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "appliance.toml"))
	if err != nil || strings.Contains(string(text), "\nchoria =") || strings.Count(string(text), "choria-2 = ") != 1 {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestRotate_IssuerLeavesOtherConfigurationsAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	file := filepath.Join(dir, "appliance.toml")
	if status, _, errOut := muster(t, "init", "--dir", dir, "--name", "x", "--issuer"); status != statusOK {
		t.Fatal(errOut)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := strings.Cut(string(text), "\nchoria = ")
	key, _, _ = strings.Cut(key, "\n")
	inline := strings.Replace(string(text), "[broker.issuers]\nchoria = "+key, "", 1)
	inline = strings.Replace(inline, "[broker]\n", "[broker]\nissuers = {choria = "+strings.TrimSpace(key)+"}\n", 1)
	write(t, file, inline)
	for range 2 {
		status, out, errOut := muster(t, "rotate", "--issuer", "--dir", dir)
		if status != statusOK || !strings.Contains(out, "Add this line to [broker.issuers] in "+file) {
			t.Fatalf("%d %s%s", status, out, errOut)
		}
	}
	after, err := os.ReadFile(file)
	if err != nil || string(after) != inline {
		t.Errorf("the file was changed: %v\n%s", err, after)
	}
}

func TestRevoke_ReportsWhatIsMissing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	if status, _, errOut := muster(t, "init", "--dir", dir, "--name", "x"); status != statusOK {
		t.Fatal(errOut)
	}
	file := filepath.Join(dir, "appliance.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), "\ncrl = ")
	write(t, file, string(text)[:at]+"\n") // as an older version wrote it
	for _, test := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"revoke", "web1"}, statusUsage, "--dir is required"},
		{[]string{"revoke", "--dir", dir}, statusUsage, "accepts 1 arg"},
		{[]string{"revoke", "web1", "--dir", t.TempDir()}, statusFailed, "make it with"},
		{[]string{"revoke", "web1", "--dir", dir}, statusFailed, `no certificate of "web1" is known here; give --serial`},
		{[]string{"revoke", "web1", "--dir", dir, "--serial", "0a"}, statusOK, "/crl.pem\"   # in [broker.tls]"},
		{[]string{"rotate"}, statusUsage, "--dir is required"},
		{[]string{"rotate", "--dir", dir, "--finish"}, statusFailed, "the CA is not being rotated"},
		{[]string{"rotate", "--dir", dir, "--issuer"}, statusFailed, "there is no issuer to rotate"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			status, out, errOut := muster(t, test.args...)
			if status != test.status || !strings.Contains(out+errOut, test.want) {
				t.Errorf("status %d, %s%s", status, out, errOut)
			}
		})
	}
}

func TestRevoke_NamesATokenNodeThatWasNotEnrolled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	for _, args := range [][]string{
		{"init", "--dir", dir, "--name", "x", "--issuer"}, {"enroll", "web1.example.net", "--dir", dir},
	} {
		if status, _, errOut := muster(t, args...); status != statusOK {
			t.Fatal(errOut)
		}
	}
	for name, enrolled := range map[string]bool{"web1.example.net": true, "wbe1.example.net": false} {
		status, out, errOut := muster(t, "revoke", name, "--dir", dir)
		if status != statusOK || strings.Contains(out, "check the name") == enrolled {
			t.Errorf("%s: status %d, %s%s", name, status, out, errOut)
		}
	}
}
