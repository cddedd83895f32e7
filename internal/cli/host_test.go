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

// goodMachine returns a machine that has everything.
func goodMachine() machine {
	return machine{
		descriptors: fixed(1 << 20), backlog: fixed(1 << 20), tracked: fixed(1 << 20),
		clockSynced: func() (bool, error) { return true, nil },
		space:       freeSpace(1<<40, 1<<39),
		listen:      func(string) error { return nil },
	}
}

func fixed(n uint64) func() (uint64, error) { return func() (uint64, error) { return n, nil } }

func freeSpace(total, free uint64) func(string) (host.Space, error) {
	return func(string) (host.Space, error) { return host.Space{Total: total, Free: free}, nil }
}

// refuseListen returns a listen function that fails for the port.
func refuseListen(port string, err error) func(string) error {
	return func(address string) error {
		if strings.HasSuffix(address, port) {
			return fmt.Errorf("listen: %w", err)
		}
		return nil
	}
}

func TestHostCommand_PrintsEachProblemWithItsSolution(t *testing.T) {
	unreadable := func() (uint64, error) { return 0, errors.New("not readable") }
	config := writeConfig(t, "identity = 'lab'\ndata_dir = '"+filepath.Join(t.TempDir(), "not", "yet")+
		"'\n[console]\nlisten = '127.0.0.1:1'\n[broker.websocket]\nlisten = '127.0.0.1:8443'\n")
	for name, test := range map[string]struct {
		change func(m *machine)
		status int
		want   string // in the output
	}{
		"no problem": {func(*machine) {}, 0,
			"OK        descriptors: the limit is 1,048,576, enough for 65,000 connections\n"},
		"too few descriptors": {func(m *machine) { m.descriptors = fixed(20000) }, 1,
			"WARNING   descriptors: the limit is 20,000, but 65,000 connections need 66,024: " +
				"set LimitNOFILE=66024 in the unit, or lower broker.max_connections to 18976\n"},
		"too few descriptors for any node": {func(m *machine) { m.descriptors = fixed(1024) }, 1,
			"set LimitNOFILE=66024 in the unit, or lower broker.max_connections\n"},
		"just enough descriptors": {func(m *machine) { m.descriptors = fixed(66024) }, 0,
			"OK        descriptors: the limit is 66,024,"},
		"small backlog": {func(m *machine) { m.backlog = fixed(128) }, 1,
			"WARNING   backlog: only 128 connections can wait on a port, and after a restart all nodes connect at once: " +
				"run sysctl -w net.core.somaxconn=4096, and set it in /etc/sysctl.d\n"},
		"few tracked connections": {func(m *machine) { m.tracked = fixed(65536) }, 1,
			"WARNING   conntrack: the firewall tracks only 65,536 connections and drops others: " +
				"run sysctl -w net.netfilter.nf_conntrack_max=130000, and set it in /etc/sysctl.d\n"},
		"no connection tracking": {func(m *machine) { m.tracked = fixed(0) }, 0,
			"OK        conntrack: the firewall does not track connections\n"},
		"clock not synchronized": {func(m *machine) { m.clockSynced = func() (bool, error) { return false, nil } }, 1,
			"WARNING   clock: not synchronized, and tokens, signatures and times need a correct clock: " +
				"run timedatectl set-ntp true, or install chrony\n"},
		"small disk": {func(m *machine) { m.space = freeSpace(10<<30, 8<<30) }, 1,
			"streams may grow to 13 GiB, but there is room for only 8.0 GiB: add 4.8 GiB, or lower their max_bytes\n"},
		"full disk": {func(m *machine) { m.space = freeSpace(10<<30, 1<<20) }, 2, "CRITICAL  disk: "},
		"port in use": {func(m *machine) { m.listen = refuseListen(":4222", syscall.EADDRINUSE) }, 2,
			"CRITICAL  broker.listen: 127.0.0.1:4222 is in use by another program: " +
				"find it with ss -ltnp 'sport = :4222', then stop it or choose another port\n"},
		"privileged port": {func(m *machine) { m.listen = refuseListen(":1", syscall.EACCES) }, 2,
			"CRITICAL  console.listen: only root may listen on 127.0.0.1:1: choose a port of 1024 or higher, " +
				"or allow it in the unit as docs/operate.md says\n"},
		"port for WebSocket in use": {func(m *machine) { m.listen = refuseListen(":8443", syscall.EADDRINUSE) }, 2,
			"CRITICAL  broker.websocket.listen: 127.0.0.1:8443 is in use by another program: "},
		"address of another machine": {func(m *machine) { m.listen = refuseListen(":4222", syscall.EADDRNOTAVAIL) }, 2,
			"CRITICAL  broker.listen: 127.0.0.1:4222 is not an address of this machine: list its addresses with ip address"},
		"unreadable backlog": {func(m *machine) { m.backlog = unreadable }, 3, "UNKNOWN   backlog: not readable\n"},
		"unreadable clock": {func(m *machine) {
			m.clockSynced = func() (bool, error) { return false, errors.New("not readable") }
		}, 3, "UNKNOWN   clock: not readable\n"},
		"unreadable descriptors": {func(m *machine) { m.descriptors = unreadable }, 3,
			"UNKNOWN   descriptors: not readable\n"},
		"unreadable conntrack": {func(m *machine) { m.tracked = unreadable }, 3, "UNKNOWN   conntrack: not readable\n"},
		"unreadable disk": {func(m *machine) {
			m.space = func(string) (host.Space, error) { return host.Space{}, errors.New("not readable") }
		}, 3, "UNKNOWN   disk: not readable\n"},
		"other error of a port": {func(m *machine) { m.listen = refuseListen(":4222", errors.New("not possible")) }, 3,
			"UNKNOWN   broker.listen: listen: not possible\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := &program{out: &out, err: &out, configFile: config}
			c := &hostCommand{consoleCommand: consoleCommand{program: p}, machine: goodMachine(), format: "text"}
			test.change(&c.machine)
			status := p.reportError(c.run(t.Context()))
			if status != test.status || !strings.Contains(out.String(), test.want) || strings.Count(out.String(), "\n") != 9 {
				t.Errorf("status %d, want %d and %q:\n%s", status, test.status, test.want, &out)
			}
		})
	}
}

func TestHostCommand_RecognizesTheRunningAppliance(t *testing.T) {
	_, port, _ := net.SplitHostPort(freeAddress(t))
	text := "identity = 'lab'\ndata_dir = '" + t.TempDir() + "'\n" +
		"[broker]\nmax_connections = 20\nlisten = '" + freeAddress(t) +
		"'\n[console]\nlisten = '127.0.0.1:" + port + "'\n"
	config := writeConfig(t, text)
	startAppliance(t, config)
	_, out, errOut := muster(t, "check", "host", "--config", config)
	if strings.Count(out, " is in use by this appliance\n") != 2 || !strings.Contains(out, "OK        descriptors") ||
		!strings.Contains(out, "B and may grow to ") || errOut != "" {
		t.Errorf("%s%s", out, errOut)
	}
	// To an appliance with another identity these ports are in use by another program.
	other := writeConfig(t, strings.Replace(text, "'lab'", "'other'", 1))
	status, out, _ := muster(t, "check", "host", "--config", other, "--format", "nagios")
	if status != 2 || !strings.HasPrefix(out, "MUSTER HOST CRITICAL broker.listen: ") ||
		strings.Count(out, "is in use by another program") != 2 {
		t.Errorf("%d %s", status, out)
	}
}

func TestHostCommand_ExitsUnknownWhenItCannotCheck(t *testing.T) {
	if status, _, errOut := muster(t, "check", "host", "--format", "xml"); status != 3 ||
		!strings.Contains(errOut, `--format "xml"`) {
		t.Errorf("unknown format: %d %s", status, errOut)
	}
	if status, out, _ := muster(t, "check", "host", "--config", os.DevNull+"/none"); status != 3 ||
		!strings.Contains(out, "UNKNOWN   /dev/null/none: not a directory") {
		t.Errorf("no configuration: %d %s", status, out)
	}
}
