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

// debian is an archive of a Debian root, of which each test gets a copy.
var debian = sync.OnceValues(func() (archive string, err error) {
	archive = filepath.Join(scratch, "root.tar")
	script := `debootstrap --variant=minbase bookworm "$1/root" >"$1/log" 2>&1 || { tail "$1/log"; exit 1; }
tar -C "$1/root" -cf "$1/root.tar" .`
	if out, err := exec.Command("sh", "-c", script, "sh", scratch).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return archive, nil
})

// host is a machine as far as packages see one: a Debian root, with a systemd of which only the
// calls are noted down.
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
	for _, path := range []string{"/usr/bin/systemctl", "/usr/local/sbin/deb-systemd-invoke"} { // rpm's scripts look in the former alone
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

// sh runs a script on the machine.
func (h host) sh(script string) string {
	h.t.Helper()
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"}
	return run(h.t, env, "chroot", h.root, "sh", "-euc", script)
}

// calls are what systemd was told since the last time.
func (h host) calls() string {
	h.t.Helper()
	text, err := os.ReadFile(h.path("/calls"))
	if err != nil {
		return ""
	}
	_ = os.Remove(h.path("/calls"))
	return string(text)
}

func (h host) wantCalls(event, want string) {
	h.t.Helper()
	if have := h.calls(); have != want {
		h.t.Errorf("%s tells systemd:\n%swant:\n%s", event, have, want)
	}
}

// files lists the package's files with modes and owners, and what it may not be without.
func (h host) files(t *testing.T, list string, golden string) {
	t.Helper()
	have := h.sh(list + ` | while read -r f; do case $f in /etc/muster*) ;; *) [ -d "$f" ] && continue ;; esac; stat -c '%A %U:%G %n' "$f"; done | sort -k3`)
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

// answers runs the installed appliance as its unit would, in a network of its own, and has it
// answer /readyz.
func (h host) answers(t *testing.T) {
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
	if !strings.Contains(out, `"ready": true`) || !strings.Contains(h.read("/log"), "stopped: adapter=registration received=0") {
		t.Errorf("%s\n%s", out, h.read("/log"))
	}
}

// edit is what somebody has an opinion about.
const edit = "\n[fleet]\nstorm_share = 30\n"

// configured makes it an appliance with keys, and edits what was made.
func (h host) configured(t *testing.T) {
	t.Helper()
	h.sh("muster init --dir /etc/muster --name collector1.example.net; muster enroll web1.example.net --dir /etc/muster")
	h.write("/etc/muster/appliance.toml", h.read("/etc/muster/appliance.toml")+edit, 0)
	want := "-rw-r----- root:muster /etc/muster/appliance.toml\n-rw------- root:root /etc/muster/ca.key\n-rw-r----- root:muster /etc/muster/key.pem\n"
	if have := h.sh("stat -c '%A %U:%G %n' /etc/muster/appliance.toml /etc/muster/ca.key /etc/muster/key.pem"); have != want {
		t.Errorf("%s", have)
	}
	out := run(t, nil, "chroot", "--userspec=muster:muster", h.root, "/usr/bin/muster", "check", "--config", "/etc/muster/appliance.toml")
	if !strings.Contains(out, "TLS, certificate valid for") || !strings.Contains(out, "/var/lib/muster") {
		t.Errorf("%s", out)
	}
	h.answers(t)
}

// upgraded is what must be so after it.
func (h host) upgraded(t *testing.T) {
	t.Helper()
	if version := h.sh("muster version"); !strings.HasPrefix(version, "muster 1.0.1 ") {
		t.Errorf("upgraded to %s", version)
	}
	if !strings.HasSuffix(h.read("/etc/muster/appliance.toml"), edit) {
		t.Errorf("the edit is gone:\n%s", h.read("/etc/muster/appliance.toml"))
	}
	if mode := h.sh("stat -c '%A %U:%G' /etc/muster/appliance.toml"); mode != "-rw-r----- root:muster\n" {
		t.Errorf("its mode is %s", mode)
	}
	h.answers(t)
}

// kept is what no removal takes away.
func (h host) kept(t *testing.T) {
	t.Helper()
	for _, name := range []string{"/etc/muster/key.pem", "/etc/muster/ca.key", "/etc/muster/ca.pem", "/etc/muster/nodes/web1.example.net/key.pem"} {
		if !h.exists(name) {
			t.Errorf("%s is gone", name)
		}
	}
}

const (
	enabled = "/etc/systemd/system/multi-user.target.wants/muster.service"
	// enable is what systemctl enable does.
	enable = "ln -s /usr/lib/systemd/system/muster.service " + enabled
)

func TestADebIsInstalledUpgradedRemovedAndPurged(t *testing.T) {
	first, second := both(t)
	h := newHost(t)
	shell(t, `cp "$2" "$1/first.deb"; cp "$3" "$1/second.deb"`, h.root, first.deb(), second.deb())

	out := h.sh("dpkg -i /first.deb")
	if !strings.Contains(out, "muster init --dir /etc/muster --name $(hostname -f)") {
		t.Errorf("installed:\n%s", out)
	}
	h.wantCalls("an install", "systemctl --system daemon-reload\n")
	if h.exists(enabled) {
		t.Error("it is enabled by itself")
	}
	h.files(t, "dpkg -L muster", "files.deb")
	h.answers(t)
	h.configured(t)

	h.sh(enable)
	out = h.sh("dpkg -i --force-confdef --force-confold /second.deb")
	if strings.Contains(out, "muster init") {
		t.Errorf("upgraded:\n%s", out)
	}
	h.wantCalls("an upgrade", "systemctl --system daemon-reload\ndeb-systemd-invoke try-restart muster.service\n")
	if !h.exists(enabled) {
		t.Error("an upgrade has disabled it")
	}
	h.upgraded(t)

	h.sh("dpkg -r muster")
	h.wantCalls("a removal", "deb-systemd-invoke stop muster.service\nsystemctl --system daemon-reload\n")
	h.kept(t)
	if !h.exists("/var/lib/muster/jetstream") || !h.exists("/etc/muster/appliance.toml") || h.exists("/usr/bin/muster") {
		t.Error("a removal keeps data and configuration, and takes the program")
	}

	out = h.sh("dpkg -P muster 2>&1")
	if !strings.Contains(out, "muster: /etc/muster is left, with keys") || strings.Contains(out, "/var/lib/muster is left") {
		t.Errorf("purged:\n%s", out)
	}
	h.kept(t)
	want := "/etc/muster/ca.key\n/etc/muster/ca.pem\n/etc/muster/cert.pem\n/etc/muster/key.pem\n"
	if left := h.sh("find /etc/muster /var/lib -path '*muster*' -type f | grep -v /nodes/ | grep -v /var/lib/dpkg | sort"); left != want || h.exists("/var/lib/muster") || h.exists(enabled) {
		t.Errorf("left:\n%s", left)
	}
}

func TestADebThatWasRemovedComesBackAsItWas(t *testing.T) {
	first, second := both(t)
	h := newHost(t)
	shell(t, `cp "$2" "$1/first.deb"; cp "$3" "$1/second.deb"`, h.root, first.deb(), second.deb())
	h.sh("dpkg -i /first.deb; " + enable + "; dpkg -r muster")
	h.calls()
	h.sh("dpkg -i /second.deb")
	if !h.exists(enabled) {
		t.Error("it was enabled, and is not any more")
	}
	h.sh("rm " + enabled) // disabled
	h.calls()
	h.sh("dpkg -i /first.deb")
	h.wantCalls("an upgrade of what is disabled", "systemctl --system daemon-reload\ndeb-systemd-invoke try-restart muster.service\n")
	if h.exists(enabled) {
		t.Error("it was disabled, and an upgrade has enabled it")
	}
	out := h.sh("dpkg -P muster 2>&1")
	if h.exists("/etc/muster") || strings.Contains(out, "is left") {
		t.Errorf("with no keys nothing is left:\n%s", out)
	}
}

func TestAnRPMIsInstalledUpgradedAndErased(t *testing.T) {
	first, second := both(t)
	h := newHost(t)
	rpm := func(args ...string) string {
		t.Helper()
		return run(t, nil, "rpm", append([]string{"--root", h.root}, args...)...)
	}
	rpm("--initdb")
	shell(t, `cp "$2" "$1/first.rpm"; cp "$3" "$1/second.rpm"`, h.root, first.rpm(), second.rpm())

	out := rpm("-i", "--nodeps", filepath.Join(h.root, "first.rpm"))
	if !strings.Contains(out, "muster init --dir /etc/muster --name $(hostname -f)") {
		t.Errorf("installed:\n%s", out)
	}
	h.wantCalls("an install", "systemctl --no-reload preset muster.service\n")
	h.write("/list", rpm("-ql", "muster"), 0o644)
	h.files(t, "cat /list", "files.rpm")
	h.answers(t)
	h.configured(t)

	out = rpm("-U", "--nodeps", filepath.Join(h.root, "second.rpm"))
	if strings.Contains(out, "muster init") {
		t.Errorf("upgraded:\n%s", out)
	}
	h.wantCalls("an upgrade", "systemctl daemon-reload\nsystemctl try-restart muster.service\n")
	if !strings.Contains(h.read("/etc/muster/appliance.toml.rpmnew"), "# The second version.") {
		t.Error("the new file is not beside the edited one")
	}
	h.upgraded(t)

	rpm("-e", "muster")
	h.wantCalls("an erase", "systemctl --no-reload disable muster.service\nsystemctl stop muster.service\nsystemctl daemon-reload\n")
	h.kept(t)
	if !h.exists("/var/lib/muster/jetstream") || h.exists("/usr/bin/muster") || !h.exists("/etc/muster/appliance.toml.rpmsave") && !h.exists("/etc/muster/appliance.toml") {
		t.Error("an erase keeps data, keys and configuration, and takes the program")
	}
}

func TestAnImageNeedsNothingButTheBinary(t *testing.T) {
	first, _ := both(t)
	text, err := os.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FROM scratch\n", "USER 65532:65532\n", "VOLUME /var/lib/muster\n", "HEALTHCHECK ", "STOPSIGNAL SIGTERM\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the image has no %q", want)
		}
	}
	root := t.TempDir()
	shell(t, `mkdir -p "$1/usr/bin" "$1/etc/muster"; cp "$2" "$1/usr/bin/muster"; cp ../appliance.toml "$1/etc/muster/"; cp -r image/. "$1/"; chown -R 65532:65532 "$1/var"; chmod 755 "$1"`,
		root, first.file("*-linux-amd64"))
	out := run(t, nil, "unshare", "--net", "sh", "-euc", `
		ip link set lo up
		chroot --userspec=65532:65532 "$1" /usr/bin/muster run --config /etc/muster/appliance.toml >"$2/log" 2>&1 &
		n=0
		until chroot --userspec=65532:65532 "$1" /usr/bin/muster check health; do
			n=$((n + 1)); [ $n -lt 100 ] || { cat "$2/log"; exit 1; }
			sleep 0.2
		done
		kill $!
		wait $! || true
		cat "$2/log"`, "sh", root, t.TempDir())
	if !strings.Contains(out, "MUSTER OK ready") || !strings.Contains(out, "stopped: adapter=registration") {
		t.Errorf("%s", out)
	}
}
