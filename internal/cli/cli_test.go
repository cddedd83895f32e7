package cli

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/adapter"
	"github.com/muster-appliance/muster/console"
	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/spf13/cobra"
)

// buffer can be read while a command writes to it.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// muster runs a command line to its end.
func muster(t *testing.T, args ...string) (status int, out, errOut string) {
	t.Helper()
	var o, e buffer
	status = Run(t.Context(), args, &o, &e)
	return status, o.String(), e.String()
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "appliance.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitStatusesAndWhatIsSaid(t *testing.T) {
	broken := file(t, "[broker]\nlisten = '4222'\nport = 1\n")
	good := file(t, "identity = 'collector1'\n")
	nobody := "http://127.0.0.1:1"
	for name, test := range map[string]struct {
		args     []string
		status   int
		out, err string
	}{
		"help":              {nil, 0, "Usage:", ""},
		"version":           {[]string{"version"}, 0, "muster ", ""},
		"version json":      {[]string{"version", "--json"}, 0, `"version":`, ""},
		"check":             {[]string{"check", "--config", good}, 0, "collector1", ""},
		"check defaults":    {[]string{"check"}, 0, "registration: request from *.broadcast.agent.registration", ""},
		"check broken":      {[]string{"check", "--config", broken}, 78, "", `appliance.toml:2: broker.listen: "4222" is not an address`},
		"check broken all":  {[]string{"check", "--config", broken}, 78, "", `appliance.toml:3: broker.port: unknown key`},
		"check json":        {[]string{"check", "--config", broken, "--json"}, 78, `"line": 2`, ""},
		"check json ok":     {[]string{"check", "--config", good, "--json"}, 0, `"ok": true`, ""},
		"run broken":        {[]string{"run", "--config", broken}, 78, "", "broker.port: unknown key"},
		"run missing":       {[]string{"run", "--config", "/none.toml"}, 78, "", "/none.toml: no such file or directory"},
		"unknown command":   {[]string{"fly"}, 2, "", `unknown command "fly"`},
		"unknown flag":      {[]string{"run", "--fast"}, 2, "", "unknown flag: --fast"},
		"too many":          {[]string{"run", "now"}, 2, "", `unknown command "now"`},
		"bad flag":          {[]string{"demo", "--nodes", "many"}, 2, "", `invalid argument "many"`},
		"no nodes":          {[]string{"demo", "--nodes", "0"}, 2, "", "--nodes 0 is not between 1 and 15000"},
		"no appliance":      {[]string{"streams", "--server", nobody}, 1, "", `connection refused); start one with "muster run"`},
		"no scheme":         {[]string{"streams", "--server", "127.0.0.1:1"}, 1, "", "no appliance answers at http://127.0.0.1:1 ("},
		"no appliance plan": {[]string{"streams", "plan", "--server", nobody, "--config", good}, 1, "", "no appliance answers"},
		"plan of what":      {[]string{"streams", "plan", "--server", nobody}, 2, "", "name the configuration of the appliance with --config"},
		"apply what":        {[]string{"streams", "apply", "--delete-messages"}, 2, "", "name the configuration of the appliance with --config"},
		"empty config":      {[]string{"run", "--config", ""}, 2, "", "--config: the file name is empty"},
		"completion":        {[]string{"completion", "bash"}, 0, "bash completion", ""},
	} {
		status, out, errOut := muster(t, test.args...)
		if status != test.status || !strings.Contains(out, test.out) || !strings.Contains(errOut, test.err) {
			t.Errorf("%s: status %d\nout %s\nerr %s", name, status, out, errOut)
		}
		if test.err != "" && out != "" {
			t.Errorf("%s: an error and output: %s", name, out)
		}
	}
}

func TestCheckLooksAtTheCertificates(t *testing.T) {
	dir := t.TempDir()
	authority.New(t, time.Now()).Files(dir, nil, "collector1")
	config := file(t, fmt.Sprintf("[broker.tls]\ncert = %q\nkey = %q\nca = %q\n",
		filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")))
	status, out, errOut := muster(t, "check", "--config", config)
	if status != 0 || !strings.Contains(out, "nats://0.0.0.0:4222 (TLS, certificate valid for 3") {
		t.Errorf("%d %s %s", status, out, errOut)
	}
	if err := os.Remove(filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "run"} {
		status, _, errOut = muster(t, command, "--config", config)
		if status != 78 || !strings.Contains(errOut, "broker.tls: "+filepath.Join(dir, "key.pem")+": no such file or directory") {
			t.Errorf("%s: %d %s", command, status, errOut)
		}
	}
}

func TestEveryCommandShowsTwoExamples(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Name() != "help" && c.Name() != "completion" && (c.Parent() == nil || c.Parent().Name() != "completion") {
			if lines := strings.Count(c.Example, "\n") + 1; c.Example == "" || lines != 2 {
				t.Errorf("%s has %d examples", c.CommandPath(), lines)
			}
			_, help, _ := muster(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
			if !strings.HasSuffix(help, "\nExamples:\n"+c.Example+"\n") {
				t.Errorf("the help of %s does not end with them:\n%s", c.CommandPath(), help)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit((&program{}).root())
}

// start runs an appliance by its command until the test ends, and gives what it logs.
func start(t *testing.T, config string) (log *buffer, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log = &buffer{}
	done := make(chan int, 1)
	go func() { done <- Run(ctx, []string{"run", "--config", config}, &buffer{}, log) }()
	stop = sync.OnceValue(func() int { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	wait.Eventually(t, func() error {
		if !strings.Contains(log.String(), "ready: ") {
			return errorString(log.String())
		}
		return nil
	})
	return log, stop
}

type errorString string

func (e errorString) Error() string { return string(e) }

// address finds what the appliance logged under a key.
func address(t *testing.T, log *buffer, key string) string {
	t.Helper()
	m := regexp.MustCompile(key + `=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatalf("no %s in %s", key, log.String())
	}
	return m[1]
}

func lab(t *testing.T, dir, more string) string {
	t.Helper()
	return file(t, "identity = 'lab'\ndata_dir = '"+dir+"'\n[broker]\nlisten = '"+free(t)+"'\n[console]\nlisten = '127.0.0.1:0'\n"+more)
}

// lastPort is the port that free tried last.
var lastPort atomic.Uint32

// free returns an address of loopback on which nothing listens. Its port is below those that
// Linux gives to connections and to listeners on port 0 (32768 and above), and no other test
// of this process gets it: an appliance that restarts finds its port free.
func free(t *testing.T) string {
	t.Helper()
	const first, ports = 15_000, 15_000
	lastPort.CompareAndSwap(0, 1+rand.Uint32N(ports))
	for range ports {
		address := fmt.Sprintf("127.0.0.1:%d", first+lastPort.Add(1)%ports)
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

func TestRunLogsItsAddressesAndEndsWithTheLedger(t *testing.T) {
	dir := t.TempDir()
	log, stop := start(t, lab(t, dir, ""))
	if d := address(t, log, "data"); d != dir {
		t.Errorf("data in %s, want %s", d, dir)
	}
	second := &buffer{}
	if status := Run(t.Context(), []string{"run", "--config", lab(t, dir, "")}, &buffer{}, second); status != 1 ||
		!strings.Contains(second.String(), "is in use by another appliance") {
		t.Errorf("a second appliance: status %d, %s", status, second)
	}
	if status := stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "stopped: adapter=registration received=0") || !strings.Contains(last, "balanced=true") {
		t.Errorf("the last line is %s", last)
	}
}

func TestStreamsShowsPlansAndApplies(t *testing.T) {
	dir := t.TempDir()
	config := lab(t, dir, "")
	log, _ := start(t, config)
	server := address(t, log, "console")

	status, out, errOut := muster(t, "streams", "--server", server)
	if status != 0 || !strings.Contains(out, "CHORIA_REGISTRATION") || !strings.Contains(out, "KV_CHORIA_LEADER_ELECTION") {
		t.Errorf("streams: %d %s %s", status, out, errOut)
	}
	status, out, _ = muster(t, "streams", "--server", server, "--json")
	var list console.Streams
	if err := json.Unmarshal([]byte(out), &list); status != 0 || err != nil || len(list.Streams) != 9 || list.Changes == nil {
		t.Errorf("streams --json: %d %v %s", status, err, out)
	}
	if _, out, _ = muster(t, "streams", "plan", "--server", server, "--config", config); out != "All streams are as declared.\n" {
		t.Errorf("plan: %s", out)
	}

	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := file(t, string(text)+"[stream.CHORIA_EVENTS]\nmax_age = '2d'\nmax_bytes = '64MiB'\nstorage = 'memory'\n[stream.MINE]\nsubjects = 'mine'\n")
	_, out, _ = muster(t, "streams", "plan", "--server", server, "--config", changed)
	for _, want := range []string{"create MINE", "recreate CHORIA_EVENTS: storage file → memory, max_age 1d → 2d, max_bytes 512MiB → 64MiB (storage cannot be changed; recreating deletes 0 messages and all consumers)"} {
		if !strings.Contains(out, want) {
			t.Errorf("plan lacks %q:\n%s", want, out)
		}
	}
	status, out, errOut = muster(t, "streams", "apply", "--config", changed)
	if status != 1 || !strings.Contains(out, "done: create MINE") || !strings.Contains(out, "not done: recreate CHORIA_EVENTS") || !strings.Contains(errOut, "1 of 2 changes were not made") {
		t.Errorf("apply: %d %s %s", status, out, errOut)
	}
	if status, out, _ = muster(t, "streams", "apply", "--config", changed, "--delete-messages", "--json"); status != 0 || !strings.Contains(out, `"done": true`) {
		t.Errorf("apply --delete-messages: %d %s", status, out)
	}
	if _, out, _ = muster(t, "streams", "plan", "--server", server, "--config", changed); out != "All streams are as declared.\n" {
		t.Errorf("plan afterwards: %s", out)
	}
}

func TestStreamsApplyGetsInThroughTLS(t *testing.T) {
	certs := t.TempDir()
	authority.New(t, time.Now()).Files(certs, nil, "collector1")
	dir := t.TempDir()
	config := lab(t, dir, fmt.Sprintf("[broker.tls]\ncert = %q\nkey = %q\nca = %q\n[stream.MINE]\nsubjects = 'mine'\n",
		filepath.Join(certs, "cert.pem"), filepath.Join(certs, "key.pem"), filepath.Join(certs, "ca.pem")))
	_, stop := start(t, config)
	status, out, errOut := muster(t, "streams", "apply", "--config", config)
	if status != 0 || out != "All streams are as declared.\n" {
		t.Errorf("%d %s %s", status, out, errOut)
	}
	info, err := os.Stat(filepath.Join(dir, "admin.token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "admin.token"), []byte("guessed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, errOut = muster(t, "streams", "apply", "--config", config); status != 1 || !strings.Contains(errOut, "Authorization Violation") {
		t.Errorf("with a guessed token: %d %s", status, errOut)
	}
	stop()
	if _, err := os.Stat(filepath.Join(dir, "admin.token")); err == nil {
		t.Error("the token outlives the appliance")
	}
}

func TestDemoBalancesAndTakesTheNextFreePort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:4222")
	if err == nil {
		defer taken.Close()
	}
	status, out, errOut := muster(t, "demo", "--nodes", "20", "--interval", "200ms", "--for", "2s")
	if status != 0 || !strings.Contains(out, "the ledger balances") || errOut != "" {
		t.Errorf("status %d\n%s\n%s", status, out, errOut)
	}
	if strings.Contains(out, "nats://127.0.0.1:4222\n") {
		t.Errorf("the port was taken:\n%s", out)
	}
	m := regexp.MustCompile(`ledger: (\d+) received = (\d+) stored`).FindStringSubmatch(out)
	if m == nil || m[1] == "0" || m[1] != m[2] {
		t.Errorf("ledger %v in\n%s", m, out)
	}
	if strings.ContainsAny(out, "\r\033") {
		t.Errorf("control characters in what is no terminal: %q", out)
	}
}

func TestDemoEndsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out := &buffer{}
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"demo", "--nodes", "5", "--interval", "100ms"}, out, &buffer{})
	}()
	wait.Eventually(t, func() error {
		if !strings.Contains(out.String(), "5 nodes connected") {
			return errorString(out.String())
		}
		return nil
	})
	cancel()
	select {
	case status := <-done:
		if status != 0 || !strings.Contains(out.String(), "the ledger balances") {
			t.Errorf("status %d\n%s", status, out)
		}
	case <-time.After(time.Minute):
		t.Fatal("the demo does not end")
	}
}

func TestDemoFailsWhenAMessageIsUnaccountedFor(t *testing.T) {
	for name, test := range map[string]struct {
		stats  adapter.Stats
		sent   uint64
		status int
	}{
		"all stored":        {adapter.Stats{Received: 3, Stored: 3}, 3, statusOK},
		"some dropped":      {adapter.Stats{Received: 3, Stored: 1, Dropped: map[string]uint64{"buffer": 2}}, 3, statusOK},
		"one never came":    {adapter.Stats{Received: 2, Stored: 2}, 3, statusFailed},
		"one came too many": {adapter.Stats{Received: 4, Stored: 4}, 3, statusFailed},
		"one pending":       {adapter.Stats{Received: 3, Stored: 2, Pending: 1}, 3, statusFailed},
		"one uncounted":     {adapter.Stats{Received: 3, Stored: 2}, 3, statusFailed},
	} {
		p := &program{out: &buffer{}, err: &buffer{}}
		err := (&demo{program: p}).printLedger(test.stats, test.sent, 0)
		if status := p.reportError(err); status != test.status {
			t.Errorf("%s: status %d", name, status)
		}
	}
}

func TestCheckTellsHowLongTheCertificateIsGood(t *testing.T) {
	ca := authority.New(t, time.Now())
	for days, warned := range map[int]bool{20: true, 100: false} {
		dir := t.TempDir()
		ca.Files(dir, func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, days) }, "collector1")
		config := file(t, fmt.Sprintf("[broker.tls]\ncert = '%[1]s/cert.pem'\nkey = '%[1]s/key.pem'\nca = '%[1]s/ca.pem'\n", dir))
		var result struct {
			Warnings []string
			Days     float64 `json:"certificate_days"`
		}
		status, out, _ := muster(t, "check", "--config", config, "--json")
		if err := json.Unmarshal([]byte(out), &result); err != nil || status != 0 {
			t.Fatalf("%d %v: %s", status, err, out)
		}
		if result.Days < float64(days)-1 || result.Days > float64(days) {
			t.Errorf("good for %d days, and it says %.1f", days, result.Days)
		}
		if said := strings.Contains(strings.Join(result.Warnings, ""), "expires in"); said != warned {
			t.Errorf("good for %d days: %v", days, result.Warnings)
		}
		if _, out, _ := muster(t, "check", "--config", config); strings.Contains(out, "warning: the certificate") != warned || !strings.Contains(out, "certificates under "+dir) {
			t.Errorf("have %s", out)
		}
	}
}
