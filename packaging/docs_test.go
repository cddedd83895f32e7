package packaging

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// commands returns the indented lines of a page, or of one of its sections.
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

// systemctl stands for systemd's on a host without systemd: it starts the service as the unit
// does and waits until it is ready, or stops it.
const systemctl = `#!/bin/sh
echo systemctl "$@" >> /calls
case "$*" in
*choria-broker*) exit ;;
start\ muster | *enable*muster)
	install -d -o muster -g muster -m 0750 /var/lib/muster
	setpriv --reuid muster --regid muster --clear-groups \
		/usr/bin/muster run --config /etc/muster/appliance.toml >> /log 2>&1 &
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

// follow runs the commands of a page, with a network of its own.
func (h host) follow(t *testing.T, script string) string {
	t.Helper()
	h.write("/usr/bin/systemctl", systemctl, 0o755)
	for name, text := range map[string]string{"hostname": "echo choria1.example.net", "choria": "echo choria was here"} {
		h.write("/usr/local/bin/"+name, "#!/bin/sh\n"+text+"\n", 0o755)
	}
	h.write("/script", "cd /root\nset -x\n"+script+"\n", 0o644)
	return run(t, []string{searchPath}, "unshare", "--net", "sh", "-euc",
		`ip link set lo up; chroot "$1" sh -eu /script`, "sh", h.root)
}

// isReady matches the first line of muster status.
var isReady = regexp.MustCompile(`choria1\.example\.net +ready\n`)

func (h host) install(t *testing.T, r release) {
	t.Helper()
	shell(t, `cp "$2" "$1/muster.deb"`, h.root, r.deb())
	h.sh("dpkg -i /muster.deb")
}

func TestMigrateGuide_CommandsWork(t *testing.T) {
	first, _ := requireReleases(t)
	h := newHost(t)
	h.install(t, first)
	// The Choria broker to migrate from, with Puppet's certificates.
	h.sh(`mkdir -p /etc/choria
ssl=/etc/puppetlabs/puppet/ssl
install -d $ssl/certs; install -d -m 0750 $ssl/private_keys
muster init --dir /root/ca --name choria1.example.net
cp /root/ca/cert.pem $ssl/certs/choria1.example.net.pem
cp /root/ca/key.pem $ssl/private_keys/choria1.example.net.pem
cp /root/ca/ca.pem $ssl/certs/ca.pem
mkdir -p /var/lib/choria/jetstream /etc/stream-replicator`)
	h.write("/etc/choria/broker.conf", `identity = choria1.example.net
plugin.choria.broker_network = true
plugin.security.provider = puppet
plugin.choria.stats_port = 8222
plugin.choria.network.websocket_port = 8443
plugin.choria.network.mapping.names = metrics
plugin.choria.network.mapping.metrics.source = in.metrics.*
plugin.choria.network.mapping.metrics.destination = metrics.all.$1
plugin.choria.network.stream.store = /var/lib/choria
`, 0o644)
	h.write("/etc/stream-replicator/sr.yaml", `name: ams
streams:
  - stream: CHORIA_REGISTRATION
    source_url: nats://127.0.0.1:4222
    target_url: nats://hub.example.net:4222
    inspect_field: sender
    inspect_duration: 1h
`, 0o644)
	h.calls()
	out := h.follow(t, commands(t, "migrate.md", ""))
	for _, want := range []string{
		"choria was here", "CHORIA_REGISTRATION", "TLS, certificate valid for", "no connection was refused",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if len(isReady.FindAllString(out, -1)) != 1 {
		t.Errorf("the appliance was not ready:\n%s", out)
	}
	h.wantCalls("the guide", "systemctl disable --now choria-broker", "systemctl enable --now muster",
		"systemctl disable --now muster", "systemctl enable --now choria-broker")
}

func TestOperateGuide_CommandsWork(t *testing.T) {
	first, _ := requireReleases(t)
	h := newHost(t)
	h.install(t, first)
	out := h.follow(t, strings.Join([]string{
		commands(t, "operate.md", "Install"),
		commands(t, "operate.md", "Backup and restore"),
		"muster status", "muster check --config /etc/muster/appliance.toml", "systemctl stop muster",
	}, "\n"))
	if len(isReady.FindAllString(out, -1)) != 2 ||
		!strings.Contains(out, "accepts   certificates signed by the CA in /etc/muster/ca.pem") {
		t.Errorf("%s", out)
	}
}
