package packaging

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// commands are the indented lines of a page, or of one of its sections.
func commands(t *testing.T, page, section string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	in := section == ""
	for _, line := range strings.Split(string(text), "\n") {
		if heading, is := strings.CutPrefix(line, "## "); is && section != "" {
			in = heading == section
		}
		if command, is := strings.CutPrefix(line, "    "); is && in {
			found = append(found, command)
		}
	}
	if len(found) < 3 {
		t.Fatalf("%s %s has %d commands", page, section, len(found))
	}
	return strings.Join(found, "\n")
}

// systemctl does on a machine without systemd what a page asks of it: it runs the service as the
// unit does, until it is ready, and ends it.
const systemctl = `#!/bin/sh
echo systemctl "$@" >> /calls
case "$*" in
*choria-broker*) exit ;;
start\ muster | *enable*muster)
	install -d -o muster -g muster -m 0750 /var/lib/muster
	setpriv --reuid muster --regid muster --clear-groups /usr/bin/muster run --config /etc/muster/appliance.toml >> /log 2>&1 &
	echo $! > /run/muster.pid
	n=0
	until muster check health > /health; do
		n=$((n + 1)); [ $n -lt 100 ] || { cat /log /health; exit 1; }
		sleep 0.2
	done ;;
stop\ muster | *disable*muster)
	kill "$(cat /run/muster.pid)"
	while kill -0 "$(cat /run/muster.pid)" 2>/dev/null; do sleep 0.1; done ;;
*) exit 1 ;;
esac
`

// follow does what a page says, on a machine with a network of its own.
func (h host) follow(t *testing.T, script string) string {
	t.Helper()
	h.write("/usr/bin/systemctl", systemctl, 0o755)
	for name, text := range map[string]string{"hostname": "echo choria1.example.net", "choria": "echo choria was here"} {
		h.write("/usr/local/bin/"+name, "#!/bin/sh\n"+text+"\n", 0o755)
	}
	h.write("/script", "cd /root\nset -x\n"+script+"\n", 0o644)
	return run(t, []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, "unshare", "--net", "sh", "-euc",
		`ip link set lo up; chroot "$1" sh -eu /script`, "sh", h.root)
}

// isReady is the beginning of what muster status shows.
var isReady = regexp.MustCompile(`choria1\.example\.net +ready\n`)

func (h host) install(t *testing.T, r release) {
	t.Helper()
	shell(t, `cp "$2" "$1/muster.deb"`, h.root, r.deb())
	h.sh("dpkg -i /muster.deb")
}

func TestTheGuideToMigratingIsFollowed(t *testing.T) {
	first, _ := both(t)
	h := newHost(t)
	h.install(t, first)
	// The broker that is there, with Puppet's certificates.
	h.sh(`mkdir -p /etc/choria
ssl=/etc/puppetlabs/puppet/ssl
install -d $ssl/certs; install -d -m 0750 $ssl/private_keys
muster init --dir /root/ca --name choria1.example.net
cp /root/ca/cert.pem $ssl/certs/choria1.example.net.pem
cp /root/ca/key.pem $ssl/private_keys/choria1.example.net.pem
cp /root/ca/ca.pem $ssl/certs/ca.pem`)
	h.write("/etc/choria/broker.conf", "identity = choria1.example.net\nplugin.choria.broker_network = true\nplugin.security.provider = puppet\nplugin.choria.stats_port = 8222\n", 0o644)
	h.calls()
	out := h.follow(t, commands(t, "migrate.md", ""))
	for _, want := range []string{"choria was here", "CHORIA_REGISTRATION", "TLS, certificate valid for", "no connection was refused"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if len(isReady.FindAllString(out, -1)) != 1 {
		t.Errorf("it was not ready:\n%s", out)
	}
	h.wantCalls("the guide", "systemctl disable --now choria-broker\nsystemctl enable --now muster\nsystemctl disable --now muster\nsystemctl enable --now choria-broker\n")
}

func TestWhatTheManualSaysOfOperatingIsDone(t *testing.T) {
	first, _ := both(t)
	h := newHost(t)
	h.install(t, first)
	out := h.follow(t, commands(t, "operate.md", "Installed from a package")+"\n"+commands(t, "operate.md", "Backup and restore")+"\nmuster status\n"+
		"muster check --config /etc/muster/appliance.toml\nsystemctl stop muster\n")
	if len(isReady.FindAllString(out, -1)) != 2 || !strings.Contains(out, "accepts   certificates under /etc/muster/ca.pem") {
		t.Errorf("%s", out)
	}
}
