package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestRun_KilledWhileNodesAreInAGovernor kills the appliance while nodes enter and leave a governor, and their
// connections are cut: at no time do more jobs run than there are slots, and no entry stays.
func TestRun_KilledWhileNodesAreInAGovernor(t *testing.T) {
	t.Parallel()
	site, err := enroll.Init(enroll.Options{Dir: t.TempDir(), Name: "127.0.0.1", Issuer: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files, dir := site.Files(), t.TempDir()
	config := labConfig(t, dir, fmt.Sprintf("[broker.tls]\ncert = %q\nkey = %q\nca = %q\n[broker.issuers]\nchoria = %q\n",
		files.Cert, files.Key, files.CA, site.IssuerKey()))
	p := startProcess(t, config)
	admin := adminOf(t, p, site, dir)
	create := "$JS.API.STREAM.CREATE." + testkit.GovernorStream
	if _, err := admin.Request(create, []byte(testkit.CreateGovernor), wait.Limit); err != nil {
		t.Fatal(err)
	}
	admin.Close()
	var nodes []*testkit.Governed
	for i := range 10 {
		nodes = append(nodes, testkit.NewGoverned(t, p.broker, site, fmt.Sprintf("n%d.example.net", i)))
	}
	jobs := new(testkit.Jobs)
	cuts := jobs.RunCut(nodes, 60, func() {
		for kills := range 3 {
			wait.Eventually(t, func() error {
				if done := jobs.Done.Load(); done < int64(kills+1)*100 {
					return errors.New("too few jobs are done")
				}
				return nil
			})
			p.kill()
			p = startProcess(t, config)
		}
	})
	jobs.Check(t, cuts)
	js, err := jetstream.New(adminOf(t, p, site, dir))
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), testkit.GovernorStream)
	if err != nil {
		t.Fatal(err)
	}
	if entries := s.CachedInfo().State.Msgs; entries != 0 {
		t.Errorf("%d entries stay", entries)
	}
}

// adminOf connects as administrator to an appliance with this data directory.
func adminOf(t *testing.T, p *process, site *enroll.Site, dir string) *nats.Conn {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(p.broker, nats.Token(string(token)), nats.RootCAs(site.Files().CA))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
