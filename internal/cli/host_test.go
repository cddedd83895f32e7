package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/muster-appliance/muster/internal/host"
)

// good is a machine that has all.
func good() machine {
	much := func() (uint64, error) { return 1 << 20, nil }
	return machine{
		descriptors: much, backlog: much, tracked: much,
		clock:  func() (bool, error) { return true, nil },
		space:  func(string) (host.Space, error) { return host.Space{Total: 1 << 40, Free: 1 << 39}, nil },
		listen: func(string) error { return nil },
	}
}

func number(n uint64) func() (uint64, error) { return func() (uint64, error) { return n, nil } }

func TestCheckHostSaysWhatIsMissingAndTheCure(t *testing.T) {
	refuse := func(port string, err error) func(string) error {
		return func(address string) error {
			if strings.HasSuffix(address, port) {
				return fmt.Errorf("listen: %w", err)
			}
			return nil
		}
	}
	unknown := errors.New("nobody knows")
	config := file(t, "identity = 'lab'\ndata_dir = '"+filepath.Join(t.TempDir(), "not", "yet")+"'\n[console]\nlisten = '127.0.0.1:1'\n")
	for label, test := range map[string]struct {
		change func(m *machine)
		status int
		line   string
	}{
		"all is there":     {func(*machine) {}, 0, "OK        descriptors: 1,048,576, enough for 65,000 connections\n"},
		"descriptors":      {func(m *machine) { m.descriptors = number(20000) }, 1, "WARNING   descriptors: 20,000, and 65,000 connections need 66,024: set LimitNOFILE=66024 in the unit, or lower broker.max_connections to 18976\n"},
		"few descriptors":  {func(m *machine) { m.descriptors = number(1024) }, 1, "set LimitNOFILE=66024 in the unit, or lower broker.max_connections\n"},
		"just enough":      {func(m *machine) { m.descriptors = number(66024) }, 0, "OK        descriptors: 66,024,"},
		"backlog":          {func(m *machine) { m.backlog = number(128) }, 1, "WARNING   backlog: 128 connections may wait at a port, and all nodes come at once after a restart: sysctl -w net.core.somaxconn=4096, and in /etc/sysctl.d\n"},
		"conntrack":        {func(m *machine) { m.tracked = number(65536) }, 1, "WARNING   conntrack: the firewall keeps track of 65,536 connections, and drops what is more: sysctl -w net.netfilter.nf_conntrack_max=130000, and in /etc/sysctl.d\n"},
		"no conntrack":     {func(m *machine) { m.tracked = number(0) }, 0, "OK        conntrack: connections are not tracked\n"},
		"clock":            {func(m *machine) { m.clock = func() (bool, error) { return false, nil } }, 1, "WARNING   clock: nothing keeps it right, and tokens, signatures and times depend on it: timedatectl set-ntp true, or install chrony\n"},
		"little disk":      {func(m *machine) { m.space = room(8 << 30) }, 1, "streams may take 13 GiB and have room for 8.0 GiB: give it 4.7 GiB more, or lower their max_bytes\n"},
		"no disk":          {func(m *machine) { m.space = room(1 << 20) }, 2, "CRITICAL  disk: "},
		"port taken":       {func(m *machine) { m.listen = refuse(":4222", syscall.EADDRINUSE) }, 2, "CRITICAL  broker.listen: 127.0.0.1:4222 is taken by another program: ss -ltnp 'sport = :4222' shows which; stop it, or listen elsewhere\n"},
		"console's port":   {func(m *machine) { m.listen = refuse(":1", syscall.EACCES) }, 2, "CRITICAL  console.listen: 127.0.0.1:1 is for root alone: listen on a port from 1024 on\n"},
		"not our address":  {func(m *machine) { m.listen = refuse(":4222", syscall.EADDRNOTAVAIL) }, 2, "CRITICAL  broker.listen: 127.0.0.1:4222 is no address of this machine: ip address lists"},
		"nobody can tell":  {func(m *machine) { m.backlog = func() (uint64, error) { return 0, unknown } }, 3, "UNKNOWN   backlog: nobody knows\n"},
		"nor the clock":    {func(m *machine) { m.clock = func() (bool, error) { return false, unknown } }, 3, "UNKNOWN   clock: nobody knows\n"},
		"nor descriptors":  {func(m *machine) { m.descriptors = func() (uint64, error) { return 0, unknown } }, 3, "UNKNOWN   descriptors: nobody knows\n"},
		"nor the firewall": {func(m *machine) { m.tracked = func() (uint64, error) { return 0, unknown } }, 3, "UNKNOWN   conntrack: nobody knows\n"},
		"nor the disk":     {func(m *machine) { m.space = func(string) (host.Space, error) { return host.Space{}, unknown } }, 3, "UNKNOWN   disk: nobody knows\n"},
		"nor the port":     {func(m *machine) { m.listen = refuse(":4222", unknown) }, 3, "UNKNOWN   broker.listen: listen: nobody knows\n"},
	} {
		var out bytes.Buffer
		p := &program{out: &out, err: &out, configFile: config}
		c := &hostCheck{consoleCommand: consoleCommand{program: p}, machine: good(), format: "text"}
		test.change(&c.machine)
		if status := p.reportError(c.run(t.Context())); status != test.status || !strings.Contains(out.String(), test.line) || strings.Count(out.String(), "\n") != 8 {
			t.Errorf("%s: status %d\n%s", label, status, &out)
		}
	}
}

func room(free uint64) func(string) (host.Space, error) {
	return func(string) (host.Space, error) { return host.Space{Total: 10 << 30, Free: free}, nil }
}

func TestCheckHostKnowsTheAppliance(t *testing.T) {
	_, port, _ := net.SplitHostPort(free(t))
	text := "identity = 'lab'\ndata_dir = '" + t.TempDir() + "'\n[broker]\nmax_connections = 10\nlisten = '" + free(t) + "'\n[console]\nlisten = '127.0.0.1:" + port + "'\n"
	config := file(t, text)
	start(t, config)
	_, out, errOut := muster(t, "check", "host", "--config", config)
	if strings.Count(out, ", where the appliance listens\n") != 2 || !strings.Contains(out, "OK        descriptors") || !strings.Contains(out, "B used of the ") || errOut != "" {
		t.Errorf("%s%s", out, errOut)
	}
	// Another appliance cannot have these ports.
	other := file(t, strings.Replace(text, "'lab'", "'other'", 1))
	status, out, _ := muster(t, "check", "host", "--config", other, "--format", "nagios")
	if status != 2 || !strings.HasPrefix(out, "MUSTER HOST CRITICAL broker.listen: ") || strings.Count(out, "is taken by another program") != 2 {
		t.Errorf("%d %s", status, out)
	}
	if status, _, errOut := muster(t, "check", "host", "--format", "xml"); status != 3 || !strings.Contains(errOut, `--format "xml"`) {
		t.Errorf("%d %s", status, errOut)
	}
	if status, out, _ := muster(t, "check", "host", "--config", os.DevNull+"/none"); status != 3 || !strings.Contains(out, "UNKNOWN   /dev/null/none: not a directory") {
		t.Errorf("no configuration: %d %s", status, out)
	}
}
