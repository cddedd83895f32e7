package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// debian makes an archive of a Debian root, once; each test gets a copy.
var debian = sync.OnceValues(func() (archive string, err error) {
	archive = filepath.Join(scratch, "root.tar")
	script := `debootstrap --variant=minbase bookworm "$1/root" >"$1/log" 2>&1 || { tail "$1/log"; exit 1; }
tar -C "$1/root" -cf "$1/root.tar" .`
	if out, err := exec.Command("sh", "-c", script, "sh", scratch).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return archive, nil
})

// host is a Debian root in which packages are installed. Its systemctl only records its calls.
type host struct {
	t    *testing.T
	root string
}

func newHost(t *testing.T) host {
	t.Helper()
	archive, err := debian()
	if err != nil {
		t.Fatal(err)
	}
	h := host{t, t.TempDir()}
	shell(t, `tar -C "$1" -xf "$2"; mkdir -p "$1/run/systemd/system"`, h.root, archive)
	// The scripts of the rpm look for systemctl only in /usr/bin.
	for _, path := range []string{"/usr/bin/systemctl", "/usr/local/sbin/deb-systemd-invoke"} {
		h.write(path, "#!/bin/sh\necho "+filepath.Base(path)+" \"$@\" >> /calls\n", 0o755)
	}
	return h
}

func (h host) path(name string) string { return filepath.Join(h.root, name) }

func (h host) write(name, text string, mode os.FileMode) {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
}

func (h host) read(name string) string {
	h.t.Helper()
	text, err := os.ReadFile(h.path(name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

func (h host) exists(name string) bool {
	_, err := os.Lstat(h.path(name))
	return err == nil
}

// searchPath is the PATH of commands on the host.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// sh runs a script on the host and returns its output.
func (h host) sh(script string) string {
	h.t.Helper()
	env := []string{searchPath, "DEBIAN_FRONTEND=noninteractive"}
	return run(h.t, env, "chroot", h.root, "sh", "-euc", script)
}

// calls returns the calls of systemctl since the last time, one per line.
func (h host) calls() string {
	h.t.Helper()
	text, err := os.ReadFile(h.path("/calls"))
	if err != nil {
		return ""
	}
	_ = os.Remove(h.path("/calls"))
	return string(text)
}

func (h host) wantCalls(event string, want ...string) {
	h.t.Helper()
	if have := h.calls(); have != strings.Join(want, "\n")+"\n" {
		h.t.Errorf("%s calls:\n%swant:\n%s", event, have, strings.Join(want, "\n"))
	}
}

// files compares the files of the package, with modes and owners, with a golden file.
func (h host) files(t *testing.T, list string, golden string) {
	t.Helper()
	have := h.sh(list + ` | while read -r f; do
		case $f in /etc/muster*) ;; *) [ -d "$f" ] && continue ;; esac
		stat -c '%A %U:%G %n' "$f"
	done | sort -k3`)
	path := filepath.Join("testdata", golden)
	if os.Getenv("MUSTER_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || have != string(want) {
		t.Errorf("%v\nfiles:\n%swant:\n%s", err, have, want)
	}
}

// checkRuns runs the installed appliance as its unit would, in a network of its own, until it is
// ready, and stops it.
func (h host) checkRuns(t *testing.T) {
	t.Helper()
	h.sh("install -d -o muster -g muster -m 0750 /var/lib/muster") // StateDirectory=
	out := run(t, nil, "unshare", "--net", "sh", "-euc", `
		ip link set lo up
		chroot --userspec=muster:muster "$1" /usr/bin/muster run --config /etc/muster/appliance.toml >"$1/log" 2>&1 &
		n=0
		until chroot "$1" /usr/bin/muster check health --format text; do
			n=$((n + 1)); [ $n -lt 100 ] || { cat "$1/log"; exit 1; }
			sleep 0.2
		done
		chroot "$1" /usr/bin/muster status --json
		kill $!
		wait $! || true`, "sh", h.root)
	stopped := strings.Contains(h.read("/log"), "stopped: adapter=registration received=0")
	if !stopped || !strings.Contains(out, `"ready": true`) {
		t.Errorf("%s\n%s", out, h.read("/log"))
	}
}

// edit is a change that an operator made to the configuration.
const edit = "\n[fleet]\nstorm_share = 30\n"

// configure makes certificates and edits the configuration that muster init wrote.
func (h host) configure(t *testing.T) {
	t.Helper()
	h.sh("muster init --dir /etc/muster --name collector1.example.net; muster enroll web1.example.net --dir /etc/muster")
	h.write("/etc/muster/appliance.toml", h.read("/etc/muster/appliance.toml")+edit, 0)
	want := `-rw-r----- root:muster appliance.toml
-rw------- root:root ca.key
-rw-r----- root:muster key.pem
`
	if have := h.sh("cd /etc/muster; stat -c '%A %U:%G %n' appliance.toml ca.key key.pem"); have != want {
		t.Errorf("%s", have)
	}
	out := run(t, nil, "chroot", "--userspec=muster:muster", h.root,
		"/usr/bin/muster", "check", "--config", "/etc/muster/appliance.toml")
	if !strings.Contains(out, "TLS, certificate valid for") || !strings.Contains(out, "/var/lib/muster") {
		t.Errorf("%s", out)
	}
	h.checkRuns(t)
}

// checkUpgraded checks the host after an upgrade: the new version runs with the edited
// configuration.
func (h host) checkUpgraded(t *testing.T) {
	t.Helper()
	if version := h.sh("muster version"); !strings.HasPrefix(version, "muster 1.0.1 ") {
		t.Errorf("upgraded to %s", version)
	}
	if !strings.HasSuffix(h.read("/etc/muster/appliance.toml"), edit) {
		t.Errorf("the upgrade lost the edit:\n%s", h.read("/etc/muster/appliance.toml"))
	}
	if mode := h.sh("stat -c '%A %U:%G' /etc/muster/appliance.toml"); mode != "-rw-r----- root:muster\n" {
		t.Errorf("its mode is %s", mode)
	}
	h.checkRuns(t)
}

// checkKeysKept checks that the keys and certificates are still there.
func (h host) checkKeysKept(t *testing.T) {
	t.Helper()
	for _, name := range []string{"key.pem", "ca.key", "ca.pem", "nodes/web1.example.net/key.pem"} {
		if !h.exists("/etc/muster/" + name) {
			t.Errorf("%s is gone", name)
		}
	}
}

const (
	enabled = "/etc/systemd/system/multi-user.target.wants/muster.service"
	// enable is what systemctl enable does.
	enable = "ln -s /usr/lib/systemd/system/muster.service " + enabled
)
