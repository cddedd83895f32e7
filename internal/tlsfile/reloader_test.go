package tlsfile

import (
	"bytes"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/muster-appliance/muster/internal/testkit/authority"
)

// reloading is a Reloader whose files and clock a test changes.
type reloading struct {
	*Reloader
	t     *testing.T
	ca    *authority.Authority
	dir   string
	now   time.Time
	log   bytes.Buffer
	edits int
}

func newReloading(t *testing.T) *reloading {
	t.Helper()
	r := &reloading{t: t, dir: t.TempDir(), now: time.Now()}
	r.ca = authority.New(t, r.now)
	r.write("first", nil)
	var err error
	files := filesIn(r.dir)
	r.Reloader, err = NewReloader(files, files.LoadServer, r.now, hclog.New(&hclog.LoggerOptions{Output: &r.log}))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reloading) write(name string, edit func(*x509.Certificate)) {
	r.t.Helper()
	r.ca.Files(r.dir, edit, name)
	r.touch()
}

// touch gives the files another modification time: the clock of the file system may not have
// advanced since they were last written.
func (r *reloading) touch() {
	r.t.Helper()
	r.edits++
	for _, path := range []string{filesIn(r.dir).Cert, filesIn(r.dir).Key} {
		written := time.Unix(int64(1_000_000+r.edits), 0)
		if err := os.Chtimes(path, written, written); err != nil {
			r.t.Fatal(err)
		}
	}
}

// want refreshes and fails the test unless it returns changed and the certificate has the name.
func (r *reloading) want(changed bool, name string) {
	r.t.Helper()
	if have := r.Refresh(r.now); have != changed {
		r.t.Errorf("changed %v, want %v", have, changed)
	}
	if have := r.Current().Leaf().Subject.CommonName; have != name {
		r.t.Errorf("in use is %s, want %s", have, name)
	}
}

func TestReloader_LoadsChangedFilesOnce(t *testing.T) {
	r := newReloading(t)
	r.want(false, "first")
	r.write("second", nil)
	r.want(true, "second")
	r.want(false, "second")
	if n := strings.Count(r.log.String(), "certificates reloaded"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &r.log)
	}
}

func TestReloader_KeepsLastGoodFiles(t *testing.T) {
	r := newReloading(t)
	if err := os.WriteFile(filesIn(r.dir).Cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.want(false, "first")
	r.want(false, "first")
	if n := strings.Count(r.log.String(), "certificates not reloaded"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &r.log)
	}
	if err := os.Remove(filesIn(r.dir).Cert); err != nil {
		t.Fatal(err)
	}
	r.want(false, "first")
	if n := strings.Count(r.log.String(), "certificates not reloaded"); n != 2 {
		t.Errorf("another cause: logged %d times:\n%s", n, &r.log)
	}
	r.write("second", nil)
	r.want(true, "second")
}

func TestReloader_WarnsOnceADayBeforeExpiry(t *testing.T) {
	r := newReloading(t) // valid for a month and an hour
	warnings := func() int { return strings.Count(r.log.String(), "certificate expires soon") }
	r.write("short", func(c *x509.Certificate) { c.NotAfter = r.now.Add(WarnBefore + time.Hour) })
	r.want(true, "short")
	if warnings() != 0 {
		t.Errorf("have\n%s", &r.log)
	}
	for range 50 { // from 30 days before on, every hour
		r.now = r.now.Add(time.Hour)
		r.want(false, "short")
	}
	if n := warnings(); n != 2 && n != 3 {
		t.Errorf("%d warnings in two days:\n%s", n, &r.log)
	}
}

func TestNewReloader_RefusesUnusableFiles(t *testing.T) {
	files := filesIn(t.TempDir())
	if _, err := NewReloader(files, files.LoadServer, time.Now(), hclog.NewNullLogger()); err == nil {
		t.Error("no error without files")
	}
}
