package cli

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// asMuster makes the test binary the program itself: tests that kill it need a process.
const asMuster = "MUSTER_TEST_AS_MUSTER"

// asNode makes it a node: its index and the broker's address, with a blank between.
const asNode = "MUSTER_TEST_AS_NODE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(asNode); spec != "" {
		os.Exit(beNode(spec))
	}
	if os.Getenv(asMuster) != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Setenv(asMuster, "1") // for the processes that tests and commands start
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = parallel.Value.Set("4") // the parallel tests of this package mostly wait
	}
	os.Exit(m.Run())
}

// process is an appliance in a process of its own.
type process struct {
	cmd     *exec.Cmd
	log     *buffer
	broker  string // address
	console string // URL
	ended   chan struct{}
}

// startProcess runs an appliance with the configuration, and waits until it is ready.
func startProcess(t *testing.T, config string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], "run", "--config", config), log: &buffer{}, ended: make(chan struct{})}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(p.kill)
	wait.Eventually(t, func() error {
		if !strings.Contains(p.log.String(), "ready: ") {
			return fmt.Errorf("not ready: %s", p.log)
		}
		return nil
	})
	p.broker = strings.TrimPrefix(address(t, p.log, "nodes"), "nats://")
	p.console = address(t, p.log, "console")
	response, err := http.Get(p.console + "/readyz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v %v\n%s", response, err, p.log)
	}
	_ = response.Body.Close()
	return p
}

// kill ends the process as the kernel would for want of memory.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// terminate asks the process to end, and waits until it has.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatalf("the process does not end:\n%s", p.log)
	}
}
