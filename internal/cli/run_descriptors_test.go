package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// keepAlive opens a connection to the console that has been used and stays open, if the console
// keeps it.
func keepAlive(t *testing.T, console string) (served bool) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(console, "http://"), time.Second)
	if err != nil {
		return false
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprint(conn, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return false
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err == nil
}

// Idle connections to the console must not take the descriptors that nodes and streams need.
func TestRun_IdleConsoleConnectionsLeaveDescriptorsForNodes(t *testing.T) {
	t.Parallel()
	config := labConfig(t, t.TempDir(), keepAll)
	p := runProcess(t, exec.Command("/bin/sh", "-c", `ulimit -n 256 && exec "$0" run --config "$1"`, os.Args[0], config))
	served := 0
	for range 240 {
		if keepAlive(t, p.console) {
			served++
		}
	}
	const nodes = 100
	for i := range nodes {
		nc, err := nats.Connect(p.broker, nats.Timeout(2*time.Second))
		if err != nil {
			t.Fatalf("node %d, beside %d connections to the console: %v", i, served, err)
		}
		t.Cleanup(nc.Close)
		_, raw := testkit.Registration(t, fmt.Sprintf("web%d", i), 1, 10)
		if err := nc.Publish(testkit.Subject, raw); err != nil {
			t.Fatal(err)
		}
	}
	wait.Eventually(t, func() error {
		if have := messages(t, p.broker, contract.StreamRegistration); have != nodes {
			return fmt.Errorf("%d messages are stored", have)
		}
		return nil
	})
	if served > 32 {
		t.Errorf("%d connections of one address are served", served)
	}
}
