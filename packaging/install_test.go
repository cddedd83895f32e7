package packaging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDeb_InstallUpgradeRemovePurge(t *testing.T) {
	first, second := requireReleases(t)
	h := newHost(t)
	shell(t, `cp "$2" "$1/first.deb"; cp "$3" "$1/second.deb"`, h.root, first.deb(), second.deb())

	out := h.sh("dpkg -i /first.deb")
	if !strings.Contains(out, "muster init --dir /etc/muster --name $(hostname -f)") {
		t.Errorf("installed:\n%s", out)
	}
	h.wantCalls("an install", "systemctl --system daemon-reload")
	if h.exists(enabled) {
		t.Error("the package enables the service")
	}
	h.files(t, "dpkg -L muster", "files.deb")
	h.checkRuns(t)
	h.configure(t)

	h.sh(enable)
	out = h.sh("dpkg -i --force-confdef --force-confold /second.deb")
	if strings.Contains(out, "muster init") {
		t.Errorf("upgraded:\n%s", out)
	}
	h.wantCalls("an upgrade", "systemctl --system daemon-reload", "deb-systemd-invoke try-restart muster.service")
	if !h.exists(enabled) {
		t.Error("the upgrade disabled the service")
	}
	h.checkUpgraded(t)

	h.sh("dpkg -r muster")
	h.wantCalls("a removal", "deb-systemd-invoke stop muster.service", "systemctl --system daemon-reload")
	h.checkKeysKept(t)
	if !h.exists("/var/lib/muster/jetstream") || !h.exists("/etc/muster/appliance.toml") || h.exists("/usr/bin/muster") {
		t.Error("a removal must keep data and configuration, and remove the program")
	}

	out = h.sh("dpkg -P muster 2>&1")
	if !strings.Contains(out, "muster: kept /etc/muster, which has keys") ||
		strings.Contains(out, "muster: kept /var/lib/muster") {
		t.Errorf("purged:\n%s", out)
	}
	h.checkKeysKept(t)
	left := h.sh("find /etc/muster /var/lib -path '*muster*' -type f | grep -v /nodes/ | grep -v /var/lib/dpkg | sort")
	want := "/etc/muster/ca.key\n/etc/muster/ca.pem\n/etc/muster/cert.pem\n/etc/muster/crl.pem\n" +
		"/etc/muster/issued.txt\n/etc/muster/key.pem\n"
	if left != want || h.exists("/var/lib/muster") || h.exists(enabled) {
		t.Errorf("left:\n%s", left)
	}
}

func TestDeb_ReinstallKeepsEnablement(t *testing.T) {
	first, second := requireReleases(t)
	h := newHost(t)
	shell(t, `cp "$2" "$1/first.deb"; cp "$3" "$1/second.deb"`, h.root, first.deb(), second.deb())
	h.sh("dpkg -i /first.deb; " + enable + "; dpkg -r muster")
	h.calls()
	h.sh("dpkg -i /second.deb")
	if !h.exists(enabled) {
		t.Error("the service was enabled, and is not after the reinstallation")
	}
	h.sh("rm " + enabled) // what systemctl disable does
	h.calls()
	h.sh("dpkg -i /first.deb")
	h.wantCalls("an upgrade of a disabled service",
		"systemctl --system daemon-reload", "deb-systemd-invoke try-restart muster.service")
	if h.exists(enabled) {
		t.Error("the service was disabled, and the upgrade enabled it")
	}
	out := h.sh("dpkg -P muster 2>&1")
	if h.exists("/etc/muster") || strings.Contains(out, "muster: kept") {
		t.Errorf("without keys nothing should be left:\n%s", out)
	}
}

func TestRPM_InstallUpgradeErase(t *testing.T) {
	first, second := requireReleases(t)
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
	h.wantCalls("an install", "systemctl --no-reload preset muster.service")
	h.write("/list", rpm("-ql", "muster"), 0o644)
	h.files(t, "cat /list", "files.rpm")
	h.checkRuns(t)
	h.configure(t)

	out = rpm("-U", "--nodeps", filepath.Join(h.root, "second.rpm"))
	if strings.Contains(out, "muster init") {
		t.Errorf("upgraded:\n%s", out)
	}
	h.wantCalls("an upgrade", "systemctl daemon-reload", "systemctl try-restart muster.service")
	if !strings.Contains(h.read("/etc/muster/appliance.toml.rpmnew"), "# The second version.") {
		t.Error("the new configuration is not beside the edited one")
	}
	h.checkUpgraded(t)

	rpm("-e", "muster")
	h.wantCalls("an erase",
		"systemctl --no-reload disable muster.service", "systemctl stop muster.service", "systemctl daemon-reload")
	h.checkKeysKept(t)
	configured := h.exists("/etc/muster/appliance.toml.rpmsave") || h.exists("/etc/muster/appliance.toml")
	if !configured || !h.exists("/var/lib/muster/jetstream") || h.exists("/usr/bin/muster") {
		t.Error("an erase must keep data, keys and configuration, and remove the program")
	}
}

func TestImage_NeedsOnlyTheBinary(t *testing.T) {
	first, _ := requireReleases(t)
	text, err := os.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"FROM scratch\n", "USER 65532:65532\n", "VOLUME /var/lib/muster\n", "HEALTHCHECK ", "STOPSIGNAL SIGTERM\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the image has no %q", want)
		}
	}
	root := t.TempDir()
	shell(t, `mkdir -p "$1/usr/bin" "$1/etc/muster"
		cp "$2" "$1/usr/bin/muster"
		cp ../appliance.toml "$1/etc/muster/"
		cp -r image/. "$1/"
		chown -R 65532:65532 "$1/var"
		chmod 755 "$1"`, root, first.file("*-linux-amd64"))
	out := run(t, nil, "unshare", "--net", "sh", "-euc", `
		ip link set lo up
		chroot --userspec=65532:65532 "$1" \
			/usr/bin/muster run --config /etc/muster/appliance.toml >"$2/log" 2>&1 &
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
