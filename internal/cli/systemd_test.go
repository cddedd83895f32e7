package cli

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/appliance"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// notifySocket is the socket on which systemd would receive notifications.
type notifySocket struct{ *net.UnixConn }

// listenNotify opens a notify socket and sets NOTIFY_SOCKET to it until the test ends.
func listenNotify(t *testing.T) notifySocket {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return notifySocket{socket}
}

// next returns the next notification, or the empty string if there is none within the timeout.
func (s notifySocket) next(timeout time.Duration) string {
	_ = s.SetReadDeadline(time.Now().Add(timeout))
	text := make([]byte, 512)
	n, err := s.Read(text)
	if err != nil {
		return ""
	}
	return string(text[:n])
}

// waitFor reads notifications until one begins with state.
func (s notifySocket) waitFor(t *testing.T, state string) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		if strings.HasPrefix(s.next(time.Minute), state) {
			return
		}
	}
	t.Fatalf("no notification %s", state)
}

func TestSystemd_IsNotifiedOfStartAndStop(t *testing.T) {
	socket := listenNotify(t)
	config := labConfig(t, t.TempDir(), "")
	cmd := exec.Command(os.Args[0], "run", "--config", config)
	log := &buffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if have := socket.next(time.Minute); have != "STATUS=opening\nEXTEND_TIMEOUT_USEC=60000000" {
		t.Errorf("first notification %q", have)
	}
	have := socket.next(time.Minute)
	broker, ok := strings.CutPrefix(have, "READY=1\nSTATUS=nodes register at ")
	if !ok {
		t.Fatalf("second notification %q\n%s", have, log)
	}
	nc, err := nats.Connect(broker) // once it is ready, it accepts connections
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if have := socket.next(2 * time.Second); have != "" {
		t.Errorf("without a watchdog there is the notification %q", have)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if have := socket.next(time.Minute); have != "STOPPING=1" {
		t.Errorf("last notification %q", have)
	}
}

func TestIsJournal_LogLinesHaveNoTime(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino))
	(&program{err: out}).newLog(appliance.Log{Level: "info", Format: "text"}).Info("ready")
	if text, err := os.ReadFile(out.Name()); err != nil || string(text) != "[INFO]  muster: ready\n" {
		t.Errorf("%q %v", text, err)
	}
	if isJournal(&buffer{}) || isJournal(os.Stdin) {
		t.Error("a buffer or standard input counts as the journal")
	}
}

func TestSystemd_IsNotNotifiedIfOpenFails(t *testing.T) {
	socket := listenNotify(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	config := writeConfig(t, "data_dir = '"+t.TempDir()+"'\n[broker]\nlisten = '"+taken.Addr().String()+
		"'\n[console]\nlisten = '127.0.0.1:0'\n")
	if status, _, _ := muster(t, "run", "--config", config); status != 1 {
		t.Errorf("status %d", status)
	}
	for have := "x"; have != ""; {
		if have = socket.next(100 * time.Millisecond); strings.Contains(have, "READY=1") {
			t.Errorf("notification %q", have)
		}
	}
}

func TestSystemd_WatchdogStopsWhileTheStoreHangs(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for notifications that must not come")
	}
	dir, freeze, unfreeze := freezable(t)
	socket := listenNotify(t)
	t.Setenv("WATCHDOG_USEC", "1500000")
	config := labConfig(t, filepath.Join(dir, "data"), "")
	p := startProcess(t, config)
	t.Cleanup(unfreeze) // before the process can be killed
	socket.waitFor(t, "READY=1")
	socket.waitFor(t, "WATCHDOG=1")
	socket.waitFor(t, "WATCHDOG=1")
	freeze()
	load := testkit.StartLoad(t, p.broker, testkit.LoadOptions{Connections: 1, Content: 200})
	wait.Eventually(t, func() error {
		if n := load.Published(); n < 500 {
			return fmt.Errorf("%d published", n)
		}
		return nil
	})
	sent := count(uint64(len(load.Stop())))
	quiet := false // no notification for two intervals of the watchdog
	for begin := time.Now(); !quiet && time.Since(begin) < 30*time.Second; {
		quiet = socket.next(3*time.Second) == ""
	}
	if !quiet || !strings.Contains(p.log.String(), "appliance does not respond") {
		t.Errorf("the watchdog is fed although the store hangs:\n%s", p.log)
	}
	unfreeze()
	socket.waitFor(t, "WATCHDOG=1")
	wait.Eventually(t, func() error { // and no message is lost
		_, out, _ := muster(t, "status", "--server", p.console)
		if !strings.Contains(out, sent+" received, "+sent+" stored") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// freezable mounts a file system of its own. Between freeze and unfreeze, writes to it hang.
func freezable(t *testing.T) (dir string, freeze, unfreeze func()) {
	t.Helper()
	dir = t.TempDir()
	image := filepath.Join(t.TempDir(), "image")
	script := `truncate -s 4G "$1" && mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1 "$1" &&
		mount -o loop "$1" "$2"`
	if out, err := exec.Command("sh", "-c", script, "sh", image, dir).CombinedOutput(); err != nil {
		if os.Getenv("MUSTER_TEST_DISK") != "" && os.Getenv("MUSTER_MAPPED_ROOT") == "" {
			t.Fatalf("mount a file system: %v %s", err, out)
		}
		t.Skipf("mount a file system: %v %s; run as root", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	})
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	const fifreeze, fithaw = 0xC0045877, 0xC0045878 // see linux/fs.h
	control := func(request uintptr) error {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, root.Fd(), request, 0); errno != 0 {
			return errno
		}
		return nil
	}
	freeze = func() {
		if err := control(fifreeze); err != nil {
			t.Fatalf("freeze: %v", err)
		}
		time.AfterFunc(2*time.Minute, func() { _ = control(fithaw) }) // even if the test does not
	}
	return dir, freeze, func() { _ = control(fithaw) }
}
