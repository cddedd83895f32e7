package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/fleet"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/testkit/adversary"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// siteConfig makes a site with certificates and tokens, and the configuration of an appliance that
// trusts it, with the text in more.
func siteConfig(t *testing.T, more string) (site *enroll.Site, config string) {
	t.Helper()
	site, err := enroll.Init(enroll.Options{Dir: t.TempDir(), Name: "127.0.0.1", Issuer: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	files := site.Files()
	return site, labConfig(t, t.TempDir(), more+fmt.Sprintf(
		"[broker.tls]\ncert = %q\nkey = %q\nca = %q\n[broker.issuers]\nchoria = %q\n",
		files.Cert, files.Key, files.CA, site.IssuerKey()))
}

// newAdversary returns an adversary that attacks the process, whose honest nodes are those of simnode. It
// makes only one attack if that is named.
func newAdversary(t *testing.T, p *process, site *enroll.Site, only string) *adversary.Adversary {
	t.Helper()
	var victims []string
	for n := range 20 {
		victims = append(victims, fmt.Sprintf("node%05d.example.net", n))
	}
	return adversary.New(t, adversary.Options{
		Broker: p.broker, Console: strings.TrimPrefix(p.console, "http://"), Site: site, Victims: victims,
		Permissions: []string{"events_viewer"}, Flood: 2000, Only: only,
	})
}

// awaitRounds waits until the adversary has made every attack so many times, and checks that it did.
func awaitRounds(t *testing.T, p *process, a *adversary.Adversary, rounds int) {
	t.Helper()
	wait.Eventually(t, func() error {
		p.stillRuns(t, "during the attacks")
		if have := a.Rounds(); have < rounds {
			return fmt.Errorf("%d of %d rounds", have, rounds)
		}
		return nil
	})
	for attack, actions := range a.Counts() {
		if actions == 0 {
			t.Errorf("the attack %q was not made", attack)
		}
	}
}

func TestRun_AnAdversaryFitsTheMemory(t *testing.T) {
	if !long() {
		t.Skip("takes ten seconds of processor time; set " + longTests)
	}
	site, config := siteConfig(t, cappedConfig)
	p := startCapped(t, config)
	a := newAdversary(t, p, site, "")
	a.Start()
	awaitRounds(t, p, a, 3)
	p.terminate(t) // while the adversary goes on
	a.Stop()
	if !strings.Contains(p.log.String(), "balanced=true") {
		t.Errorf("%s", p.log)
	}
	startCapped(t, config)
}

// storedOf returns a function that counts the stored registrations of other nodes than the adversary.
func storedOf(t *testing.T, p *process, site *enroll.Site) func() uint64 {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(loggedValue(t, p.log, "data"), "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(p.broker, nats.Token(string(token)),
		nats.Secure(&tls.Config{RootCAs: site.Roots(), MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	const hostile = contract.SubjectNodeMetadata + adversary.Name
	return func() uint64 {
		s, err := js.Stream(context.Background(), contract.StreamRegistration)
		if err != nil {
			return 0 // a busy moment; the caller asks again
		}
		info, err := s.Info(context.Background(), jetstream.WithSubjectFilter(hostile))
		if err != nil {
			return 0
		}
		return info.State.Msgs - info.State.Subjects[hostile]
	}
}

// TestBench_AnAdversaryCostsHonestNodesNothing puts a full burst of signed registrations beside the
// adversary, and compares the latency at a steady rate with and without it.
func TestBench_AnAdversaryCostsHonestNodesNothing(t *testing.T) {
	if !long() {
		t.Skip("takes half a minute of load; set " + longTests)
	}
	// The connections of the benchmark publish for many nodes each.
	site, config := siteConfig(t, keepAll+"[adapter.registration]\nbuffer = '1GiB'\nbind_sender = false\n")
	p := runProcess(t, exec.Command(os.Args[0], "run", "--config", config))
	load := func(more ...string) (args []string) {
		return append([]string{
			"--server", p.broker, "--console", p.console, "--config", config, "--site", site.Dir, "--tls",
			"--pid", strconv.Itoa(p.cmd.Process.Pid),
		}, more...)
	}
	steady := []string{"--rate", "500", "--messages", "2000", "--senders", "200"}
	before := runBench(t, load(steady...)...)
	a := newAdversary(t, p, site, "")
	a.Start()
	beside := runBench(t, load(steady...)...)
	awaitRounds(t, p, a, 1)
	honest := storedOf(t, p, site)
	want, stopped := honest()+60_000, make(chan struct{})
	go func() { // the benchmark ends once no message is pending
		defer close(stopped)
		for until := time.Now().Add(2 * wait.Limit); honest() < want && time.Now().Before(until); {
			time.Sleep(100 * time.Millisecond)
		}
		a.Stop()
	}()
	burst := runBench(t, load()...)
	<-stopped
	if burst.Stored != 60_000 || burst.Missing+burst.Duplicated+burst.OutOfOrder != 0 || burst.Ledger.Dropped != 0 {
		t.Errorf("%+v %+v", burst, burst.Ledger)
	}
	const floor = 25 // ms; below, what else runs on the machine decides
	if beside.Missing != 0 || beside.LatencyP50 > 2*max(before.LatencyP50, floor) {
		t.Errorf("median latency %.1f ms, beside the adversary %.1f ms: %+v", before.LatencyP50, beside.LatencyP50, beside)
	}
	s := summary(t, p.console)
	if up := s.States[fleet.Up]; up < 2000 || up+s.States[fleet.Connected] != s.Nodes {
		t.Errorf("%v", s.States)
	}
	p.terminate(t)
	if !strings.Contains(p.log.String(), "dropped=0 balanced=true") {
		t.Errorf("%s", p.log)
	}
	startProcess(t, config)
}
