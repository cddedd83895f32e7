package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/muster-appliance/muster/internal/bench"
	"github.com/muster-appliance/muster/internal/contract"
)

const (
	childStart = 30 * time.Second
	childStop  = time.Minute
)

// runSelf runs this program as another process to its end, and gives what it printed.
func (p *program) runSelf(ctx context.Context, args ...string) (io.ReadCloser, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdout, cmd.Stderr = &out, p.err
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return io.NopCloser(&out), nil
}

// server is an appliance in a process of its own, with a temporary directory.
type server struct {
	cmd     *exec.Cmd
	dir     string
	config  string // path
	console string // URL
	target  bench.Target
}

// startServer starts an appliance that keeps everything, and waits until it is ready.
func (b *benchmark) startServer(ctx context.Context) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "muster-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{
		dir: dir, config: filepath.Join(dir, "bench.toml"), console: "http://" + freePort("127.0.0.1:8222"),
		target: bench.Target{Server: "nats://" + freePort("127.0.0.1:4222"), Stream: contract.StreamRegistration},
	}
	if !b.load.Direct {
		s.target.Console = s.console
	}
	if err := b.configure(s); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	cmd := exec.CommandContext(ctx, self, "run", "--config", s.config)
	cmd.Stderr = b.err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = childStop
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.cmd, s.target.PID = cmd, cmd.Process.Pid
	if err := s.waitReady(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// configure writes the configuration of the server, with the site where messages are signed.
// Without an adapter, who has a certificate may write to the stream.
func (b *benchmark) configure(s *server) error {
	text := fmt.Sprintf(`identity = "bench"
data_dir = %q
log = {level = "warn"}
broker.listen = %q
console = {listen = %q}
stream.CHORIA_REGISTRATION = {max_msgs_per_subject = -1}
adapter.registration = {buffer = %q, verify = %q, enabled = %v}
fleet.enabled = %v
`, s.dir, strings.TrimPrefix(s.target.Server, "nats://"), strings.TrimPrefix(s.console, "http://"), b.buffer, b.verify, !b.load.Direct, b.watch && !b.load.Direct)
	if b.pings > 0 {
		text += fmt.Sprintf("broker.ping_interval = \"%dms\"\n", b.pings.Milliseconds())
	}
	if b.site != nil && (b.load.TLS || !b.load.Direct) {
		files := b.site.Files()
		if !b.load.TLS {
			files.Cert, files.Key = "", ""
		}
		text += fmt.Sprintf("broker.tls = {cert = %q, key = %q, ca = %q}\nbroker.issuers = {choria = %q}\n",
			files.Cert, files.Key, files.CA, b.site.IssuerKey())
		if b.load.Direct {
			text += "broker.roles = {admin = \"*\"}\n"
		}
	}
	return os.WriteFile(s.config, []byte(text), 0o600)
}

func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, childStart)
	defer cancel()
	for {
		if response, err := http.Get(s.console + "/readyz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the appliance at %s is not ready: %w", s.console, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait() // its standard error has said what there was to say
	_ = os.RemoveAll(s.dir)
}
