package tlsfile

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/testkit/authority"
)

// filesIn returns the paths of the files that an authority writes into a directory.
func filesIn(dir string) Files {
	path := func(name string) string { return filepath.Join(dir, name) }
	return Files{Cert: path("cert.pem"), Key: path("key.pem"), CA: path("ca.pem")}
}

func TestFiles_Load(t *testing.T) {
	now := time.Now()
	ca, dir := authority.New(t, now), t.TempDir()
	ca.Files(dir, nil, "web1")
	all := filesIn(dir)
	for name, test := range map[string]struct {
		files       Files
		leaf, roots bool
	}{
		"all":           {all, true, true},
		"no CA":         {Files{Cert: all.Cert, Key: all.Key}, true, false},
		"a pair":        {Pair{all.Cert, all.Key}.Files(), true, false},
		"a CA alone":    {Files{CA: all.CA}, false, true},
		"no files":      {Files{}, false, false},
		"an empty pair": {Pair{}.Files(), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := test.files.LoadServer(now)
			if err != nil {
				t.Fatal(err)
			}
			leaf, roots := s.Leaf() != nil, s.Roots != nil
			if leaf != test.leaf || s.Expires().IsZero() == test.leaf || roots != test.roots {
				t.Errorf("leaf %v, expires %s, roots %v", leaf, s.Expires(), roots)
			}
		})
	}
}

func TestFiles_LoadServerRefusesWhatClientsWouldRefuse(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		edit func(*x509.Certificate)
		want string // error; empty: none
	}{
		"expired": {func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = now.AddDate(0, -2, 0), now.AddDate(0, -1, 0)
		}, "cert.pem: the certificate expired on"},
		"not valid yet": {func(c *x509.Certificate) { c.NotBefore = now.AddDate(0, 0, 1) }, "is not valid before"},
		"for clients only": {func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}, "is not for servers"},
		"for any use": {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }, ""},
		"no usage":    {func(c *x509.Certificate) { c.ExtKeyUsage = nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			authority.New(t, now).Files(dir, test.edit, "web1")
			_, err := filesIn(dir).LoadServer(now)
			refused := err != nil && strings.Contains(err.Error(), test.want)
			if test.want == "" && err != nil || test.want != "" && !refused {
				t.Errorf("have %v, want %q", err, test.want)
			}
			if _, err := filesIn(dir).Load(); err != nil {
				t.Errorf("Load: %v", err)
			}
		})
	}
}

func TestFiles_Validate(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"ca = 'a'":              "",
		"cert = 'c'\nkey = 'k'": "",
		"cert = 'c'":            "x: key: no private key is set; TLS needs cert and key",
		"key = 'k'\nca = 'a'":   "x: cert: no certificate is set; TLS needs cert and key",
		"cert = 'c'\nkeys = 'k'": `x:2: keys: unknown key; did you mean "key"?` +
			"\nx: key: no private key is set; TLS needs cert and key",
	} {
		t.Run(text, func(t *testing.T) {
			err := config.Load("x", []byte(text), &Files{})
			if have := problems(err); have != sorted(want) {
				t.Errorf("have\n%s\nwant\n%s", have, want)
			}
		})
	}
}

func problems(err error) string {
	if err == nil {
		return ""
	}
	return sorted(err.Error())
}

func sorted(lines string) string {
	all := strings.Split(lines, "\n")
	if len(all) == 2 && all[0] > all[1] {
		all[0], all[1] = all[1], all[0]
	}
	return strings.Join(all, "\n")
}

func TestFiles_LocalClientRequiresCertificateOfFile(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	authority.New(t, now).Files(dir, nil, "web1")
	if _, err := filesIn(dir).LocalClient(now); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filesIn(dir).Cert); err != nil {
		t.Fatal(err)
	}
	if _, err := filesIn(dir).LocalClient(now); err == nil {
		t.Error("no error without the certificate")
	}
}
