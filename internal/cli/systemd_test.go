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

// notifySocket is what systemd would listen on.
type notifySocket struct{ *net.UnixConn }

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

// told is the next that systemd is told, or empty where nothing comes for so long.
func (s notifySocket) told(wait time.Duration) string {
	_ = s.SetReadDeadline(time.Now().Add(wait))
	text := make([]byte, 512)
	n, err := s.Read(text)
	if err != nil {
		return ""
	}
	return string(text[:n])
}

// until reads until systemd is told this.
func (s notifySocket) until(t *testing.T, state string) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		if strings.HasPrefix(s.told(time.Minute), state) {
			return
		}
	}
	t.Fatalf("never told %s", state)
}

func TestSystemdIsToldWhenItIsReadyAndWhenItStops(t *testing.T) {
	socket := listenNotify(t)
	config := lab(t, t.TempDir(), "")
	cmd := exec.Command(os.Args[0], "run", "--config", config)
	log := &buffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if have := socket.told(time.Minute); have != "STATUS=opening\nEXTEND_TIMEOUT_USEC=60000000" {
		t.Errorf("at first it tells %q", have)
	}
	have := socket.told(time.Minute)
	broker, ok := strings.CutPrefix(have, "READY=1\nSTATUS=nodes register at ")
	if !ok {
		t.Fatalf("then it tells %q\n%s", have, log)
	}
	nc, err := nats.Connect(broker) // the door is open
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if have := socket.told(2 * time.Second); have != "" {
		t.Errorf("nobody watches, and it tells %q", have)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if have := socket.told(time.Minute); have != "STOPPING=1" {
		t.Errorf("at last it tells %q", have)
	}
}

func TestTheJournalHasItsOwnTimes(t *testing.T) {
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
		t.Error("everything is the journal")
	}
}

func TestWhoCannotOpenIsNeverReady(t *testing.T) {
	socket := listenNotify(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	config := file(t, "data_dir = '"+t.TempDir()+"'\n[broker]\nlisten = '"+taken.Addr().String()+"'\n[console]\nlisten = '127.0.0.1:0'\n")
	if status, _, _ := muster(t, "run", "--config", config); status != 1 {
		t.Errorf("status %d", status)
	}
	for have := "x"; have != ""; {
		if have = socket.told(100 * time.Millisecond); strings.Contains(have, "READY=1") {
			t.Errorf("it tells %q", have)
		}
	}
}

func TestTheWatchdogIsFedWhileTheStoreAnswersAndNoLonger(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for what does not come")
	}
	dir, freeze, thaw := freezable(t)
	socket := listenNotify(t)
	t.Setenv("WATCHDOG_USEC", "1500000")
	config := lab(t, filepath.Join(dir, "data"), "")
	p := startProcess(t, config)
	t.Cleanup(thaw) // before the process can be killed
	socket.until(t, "READY=1")
	socket.until(t, "WATCHDOG=1")
	socket.until(t, "WATCHDOG=1")
	freeze()
	flood := testkit.StartFlood(t, p.broker, testkit.FloodOptions{Connections: 1, Content: 200})
	for flood.Published() < 500 {
		time.Sleep(time.Millisecond)
	}
	sent := count(uint64(len(flood.Stop())))
	quiet := false
	for begin := time.Now(); !quiet && time.Since(begin) < 30*time.Second; {
		quiet = socket.told(3*time.Second) == ""
	}
	if !quiet || !strings.Contains(p.log.String(), "appliance does not respond") {
		t.Errorf("a store that hangs keeps on feeding the watchdog:\n%s", p.log)
	}
	thaw()
	socket.until(t, "WATCHDOG=1")
	wait.Eventually(t, func() error { // and nothing is lost
		_, out, _ := muster(t, "status", "--server", p.console)
		if !strings.Contains(out, sent+" received, "+sent+" stored") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// freezable is a file system of its own on which nothing can be written while it is frozen.
func freezable(t *testing.T) (dir string, freeze, thaw func()) {
	t.Helper()
	dir = t.TempDir()
	image := filepath.Join(t.TempDir(), "image")
	script := `truncate -s 4G "$1" && mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1 "$1" && mount -o loop "$1" "$2"`
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
		time.AfterFunc(2*time.Minute, func() { _ = control(fithaw) }) // whatever becomes of the test
	}
	return dir, freeze, func() { _ = control(fithaw) }
}
