package cli

import (
	"bytes"
	"context"
	"errors"
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

	"github.com/muster-appliance/muster/internal/testkit/wait"
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

// muster runs a command line and returns its exit status and what it printed to standard output and
// standard error.
func muster(t *testing.T, args ...string) (status int, out, errOut string) {
	t.Helper()
	var o, e buffer
	status = Run(t.Context(), args, &o, &e)
	return status, o.String(), e.String()
}

// writeConfig writes the text to a new appliance.toml and returns its path.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "appliance.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startAppliance runs an appliance in this process until the test ends or stop is called, and waits
// until it is ready. stop returns its exit status.
func startAppliance(t *testing.T, config string) (log *buffer, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log = &buffer{}
	done := make(chan int, 1)
	go func() { done <- Run(ctx, []string{"run", "--config", config}, &buffer{}, log) }()
	stop = sync.OnceValue(func() int { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	wait.Eventually(t, func() error {
		if !strings.Contains(log.String(), "ready: ") {
			return errors.New(log.String())
		}
		return nil
	})
	return log, stop
}

// loggedValue returns the first value that was logged under a key.
func loggedValue(t *testing.T, log *buffer, key string) string {
	t.Helper()
	m := regexp.MustCompile(key + `=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatalf("no key %s in the log:\n%s", key, log.String())
	}
	return m[1]
}

// labConfig writes the configuration of a lab on free ports and returns its path. The text in more is
// added at its end.
func labConfig(t *testing.T, dir, more string) string {
	t.Helper()
	return writeConfig(t, "identity = 'lab'\ndata_dir = '"+dir+"'\n[console]\nlisten = '127.0.0.1:0'\n"+
		"[broker]\nlisten = '"+freeAddress(t)+"'\n"+more)
}

// lastPort is the number of the last port that freeAddress tried; see there.
var lastPort atomic.Uint32

// freeAddress returns an address of loopback on which nothing listens. Its port is below those that
// Linux gives to connections and to listeners on port 0 (32768 and above), and no other test
// of this process gets it: an appliance that restarts finds its port free.
func freeAddress(t *testing.T) string {
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
