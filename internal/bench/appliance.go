package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/muster-appliance/muster/internal/apiclient"
	"github.com/muster-appliance/muster/internal/config"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/enroll"
	"github.com/muster-appliance/muster/internal/host"
)

const (
	startTimeout  = 30 * time.Second
	readyInterval = 50 * time.Millisecond
)

// ApplianceOptions configure the appliance that a benchmark starts.
type ApplianceOptions struct {
	Buffer       string        // adapter.registration.buffer
	Verify       string        // adapter.registration.verify
	Fleet        bool          // fleet.enabled; false for a load that goes directly into the stream
	PingInterval time.Duration // broker.ping_interval; 0: its default
	WebSocket    bool          // nodes connect over WebSocket
}

// startedAppliance is an appliance in a process of its own, with a temporary data directory.
type startedAppliance struct {
	cmd     *exec.Cmd
	dir     string
	config  string // file
	console string // URL
	listen  string // broker.listen
	broker  string // URL where nodes connect
}

// startAppliance starts an appliance whose registration stream keeps every message, and waits
// until it is ready. The caller stops it.
func startAppliance(ctx context.Context, p Subprocess, load Load, o ApplianceOptions) (*startedAppliance, error) {
	dir, err := os.MkdirTemp("", "muster-bench-")
	if err != nil {
		return nil, err
	}
	s := &startedAppliance{
		dir: dir, config: filepath.Join(dir, "bench.toml"),
		console: "http://" + host.FreeAddress("127.0.0.1:8222"),
		listen:  host.FreeAddress("127.0.0.1:4222"),
	}
	s.broker = "nats://" + s.listen
	if o.WebSocket {
		s.broker = load.websocketScheme() + host.FreeAddress("127.0.0.1:8443")
	}
	if err := s.writeConfig(load, o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if s.cmd, err = p.command(ctx, "run", "--config", s.config); err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.waitReady(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// writeConfig writes the configuration of the appliance. Without an adapter, every node with a
// certificate may write to the stream. If a connection publishes for more than one sender, the
// adapter may not bind senders to connections.
func (s *startedAppliance) writeConfig(load Load, o ApplianceOptions) error {
	text := fmt.Sprintf(`identity = "bench"
data_dir = %q
log = {level = "warn"}
broker.listen = %q
console = {listen = %q}
stream.%s = {max_msgs_per_subject = -1}
adapter.registration = {buffer = %q, verify = %q, bind_sender = %s, enabled = %v}
fleet.enabled = %v
`, s.dir, s.listen, strings.TrimPrefix(s.console, "http://"),
		contract.StreamRegistration, o.Buffer, o.Verify, load.bindSender(), !load.Direct, o.Fleet && !load.Direct)
	if o.PingInterval > 0 {
		text += fmt.Sprintf("broker.ping_interval = %q\n", config.FormatDuration(o.PingInterval))
	}
	if o.WebSocket {
		text += fmt.Sprintf("broker.websocket.listen = %q\n", strings.TrimPrefix(s.broker, load.websocketScheme()))
	}
	if load.Site != "" && (load.TLS || !load.Direct) {
		site, err := enroll.Open(load.Site)
		if err != nil {
			return err
		}
		files := site.Files()
		if !load.TLS {
			files.Cert, files.Key = "", ""
		}
		text += fmt.Sprintf("broker.tls = {cert = %q, key = %q, ca = %q}\nbroker.issuers = {choria = %q}\n",
			files.Cert, files.Key, files.CA, site.IssuerKey())
		if load.Direct {
			text += "broker.roles = {admin = \"*\"}\n"
		}
	}
	return os.WriteFile(s.config, []byte(text), 0o600)
}

func (s *startedAppliance) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := apiclient.New(apiclient.Options{URL: s.console})
	defer client.Close()
	for {
		if answer, err := client.Ready(ctx); err == nil && answer.Ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the appliance at %s did not become ready: %w", s.console, ctx.Err())
		case <-time.After(readyInterval):
		}
	}
}

// stop asks the appliance to end, waits for it, and removes its data. What it logs about its end
// is on its standard error.
func (s *startedAppliance) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}
