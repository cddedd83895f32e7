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
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// asMuster is the variable that makes the test binary run as muster, for tests that kill a process.
const asMuster = "MUSTER_TEST_AS_MUSTER"

// asNode is the variable that makes the test binary run as a node. Its value is the index of the node
// and the broker's address, separated by a space.
const asNode = "MUSTER_TEST_AS_NODE"

// maxData is the variable that caps the memory of the test binary when it runs as muster, in bytes.
const maxData = "MUSTER_TEST_MAX_DATA"

func TestMain(m *testing.M) {
	if spec := os.Getenv(maxData); spec != "" {
		capMemory(spec)
	}
	if spec := os.Getenv(asNode); spec != "" {
		os.Exit(runNode(spec))
	}
	if os.Getenv(asMuster) != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	_ = os.Setenv(asMuster, "1") // for the processes that tests and commands start
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = parallel.Value.Set("4") // the parallel tests of this package mostly wait
	}
	os.Exit(m.Run())
}

// capMemory limits what this process may map for its data. The kernel refuses more, and Go ends the
// process then, as the kernel does when a control group has no memory left. A control group needs
// root; this does not. It is stricter: memory that was released, but is still mapped, counts.
func capMemory(bytes string) {
	n, err := strconv.ParseUint(bytes, 10, 64)
	if err == nil {
		err = syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: n, Max: n})
	}
	if err != nil {
		panic(err)
	}
}

// process is an appliance that runs as a process of its own.
type process struct {
	cmd     *exec.Cmd
	log     *buffer
	broker  string        // host and port
	console string        // URL
	ended   chan struct{} // closed when the process has ended
}

// startProcess starts an appliance with the configuration and waits until it is ready. It is killed
// when the test ends.
func startProcess(t *testing.T, config string) *process {
	t.Helper()
	return runProcess(t, exec.Command(os.Args[0], "run", "--config", config))
}

// runProcess does what startProcess does with a command that runs an appliance.
func runProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, log: &buffer{}, ended: make(chan struct{})}
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
	p.broker = strings.TrimPrefix(loggedValue(t, p.log, "nodes"), "nats://")
	p.console = loggedValue(t, p.log, "console")
	response, err := http.Get(p.console + "/readyz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v %v\n%s", response, err, p.log)
	}
	_ = response.Body.Close()
	return p
}

// kill kills the process with SIGKILL, as the kernel does when memory runs out.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// terminate asks the process to end with SIGINT and waits until it has ended.
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
