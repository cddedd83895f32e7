package enroll

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFiles_SecretsHaveMode0600(t *testing.T) {
	s := newSite(t, true)
	if _, err := s.Enroll(web1("/etc/choria"), time.Now()); err != nil {
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
		isSecret := slices.ContainsFunc([]string{".key", "key.pem", ".seed", ".jwt"}, func(suffix string) bool {
			return strings.HasSuffix(path, suffix)
		})
		if want := map[bool]fs.FileMode{true: 0o600, false: 0o644}[isSecret]; info.Mode() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode(), want)
		}
		if isSecret {
			secrets++
		}
		return nil
	})
	if err != nil || secrets != 5 {
		t.Errorf("%d secret files, want 5: %v", secrets, err)
	}
}

func TestFiles_ServiceGroupReadsFilesOfBroker(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files to a group")
	}
	dir := t.TempDir()
	const group = 4711
	if err := os.Chown(dir, -1, group); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Dir: dir, Name: "collector1.example.net", Listen: "0.0.0.0:4222", Data: "/var/lib/muster", Issuer: true,
	}
	if _, err := Init(o, time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"key.pem": "-rw-r----- 4711", "appliance.toml": "-rw-r----- 4711",
		"ca.key": "-rw------- 0", "issuer.seed": "-rw------- 0", "cert.pem": "-rw-r--r-- 0",
	} {
		t.Run(name, func(t *testing.T) {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if have := fmt.Sprintf("%s %d", info.Mode(), info.Sys().(*syscall.Stat_t).Gid); have != want {
				t.Errorf("have %s, want %s", have, want)
			}
		})
	}
	if text := read(t, dir, "appliance.toml"); !strings.Contains(text, `data_dir = "/var/lib/muster"`) {
		t.Errorf("%s", text)
	}
}

func TestFiles_OverwriteOnlyWithForce(t *testing.T) {
	s := newSite(t, false)
	before := read(t, s.Dir, "ca.pem")
	o := Options{Dir: s.Dir, Name: "x", Listen: "0.0.0.0:4222"}
	const exists = "ca.pem exists already; --force overwrites it"
	if _, err := Init(o, time.Now()); err == nil || !strings.Contains(err.Error(), exists) {
		t.Errorf("have %v, want %q", err, exists)
	}
	// If one file exists, none is written.
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
		t.Error("the node was enrolled twice")
	}
	n.Force = true
	if _, err := s.Enroll(n, time.Now()); err != nil {
		t.Error(err)
	}
	if read(t, s.Dir, "ca.pem") != before {
		t.Error("the CA was changed")
	}
	o.Force = true
	if _, err := Init(o, time.Now()); err != nil || read(t, s.Dir, "ca.pem") == before {
		t.Errorf("not overwritten: %v", err)
	}
}
