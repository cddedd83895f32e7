package packaging

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestBuild_IsReproducible(t *testing.T) {
	first, _ := requireReleases(t)
	again := t.TempDir()
	t.Setenv("TZ", "Pacific/Auckland")
	cmd := exec.Command("sh", "-c", "umask 077; exec ./build")
	cmd.Env = append(os.Environ(), "OUT="+again, commit, date, "VERSION=1.0.0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var sums [2]string
	for i, dir := range []string{first.dir, again} {
		text, err := os.ReadFile(filepath.Join(dir, "dist", "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = string(text)
	}
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 8 {
		t.Errorf("first build:\n%ssecond build:\n%s", sums[0], sums[1])
	}
}

func TestBuild_BinariesReportVersionAndModules(t *testing.T) {
	first, _ := requireReleases(t)
	version := run(t, nil, first.file("*-linux-amd64"), "version")
	if !strings.HasPrefix(version, "muster 1.0.0 (commit 0123456789ab, go") {
		t.Errorf("version: %s", version)
	}
	for pattern, want := range map[string]string{"*-linux-amd64": "x86-64", "*-linux-arm64": "aarch64"} {
		have := run(t, nil, "file", first.file(pattern))
		if !strings.Contains(have, want) || !strings.Contains(have, "statically linked") {
			t.Errorf("%s", have)
		}
	}
	text, err := os.ReadFile(first.file("*-linux-amd64.spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		Version  string `json:"spdxVersion"`
		Packages []struct {
			Name    string `json:"name"`
			Version string `json:"versionInfo"`
		} `json:"packages"`
		Relationships []any `json:"relationships"`
	}
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, p := range bom.Packages {
		listed[p.Name] = p.Version
	}
	nats := listed["github.com/nats-io/nats-server/v2"]
	if bom.Version != "SPDX-2.3" || len(bom.Relationships) != len(bom.Packages) || !strings.HasPrefix(nats, "v2.") ||
		listed["github.com/muster-appliance/muster"] != "1.0.0" || listed["stdlib"] == "" {
		t.Errorf("%+v", bom)
	}
}

func TestPackages_PassTheLinters(t *testing.T) {
	first, _ := requireReleases(t)
	lintian := []string{"--allow-root", "--fail-on", "error,warning,info", "--suppress-tags", "", first.deb()}
	if out := run(t, nil, "lintian", lintian...); out != "" {
		t.Errorf("lintian:\n%s", out)
	}
	out := run(t, nil, "rpmlint", "--config", "rpmlint.toml", first.rpm())
	if !strings.Contains(out, "0 errors, 0 warnings") {
		t.Errorf("rpmlint:\n%s", out)
	}
}

func TestUnit_IsHardened(t *testing.T) {
	requirePackages(t)
	text, err := os.ReadFile("muster.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Type=notify", "User=muster", "WatchdogSec=60", "Restart=on-failure", "RestartPreventExitStatus=78",
		"StateDirectory=muster", "LimitNOFILE=524288", "LoadCredential=muster:/etc/muster/credentials",
		"ExecReload=+/usr/bin/muster check --config /etc/muster/appliance.toml\nExecReload=/bin/kill -HUP $MAINPID",
	} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the unit has no %s", line)
		}
	}
	unit := writeUnit(t, text)
	if out := run(t, nil, "systemd-analyze", "verify", unit); strings.Contains(out, "muster.service") {
		t.Errorf("%s", out)
	}
	// The threshold is in tenths: an exposure of at most 1.5.
	out := run(t, nil, "systemd-analyze", "security", "--offline=true", "--threshold=15", unit)
	t.Log(out[strings.LastIndex(out, "→"):])
}

// writeUnit writes the unit as it can be verified here, and returns its path.
func writeUnit(t *testing.T, text []byte) string {
	t.Helper()
	unit := filepath.Join(t.TempDir(), "muster.service")
	text = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAll(text, nil) // not installed here
	text = []byte(strings.ReplaceAll(string(text), "/usr/bin/muster", "/bin/true"))
	if err := os.WriteFile(unit, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return unit
}

// TestUnit_MayListenOnLowPorts verifies the unit with what docs/operate.md adds for ports below 1024.
func TestUnit_MayListenOnLowPorts(t *testing.T) {
	requirePackages(t)
	text, err := os.ReadFile("muster.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := writeUnit(t, text)
	_, added, found := strings.Cut(commands(t, "operate.md", "Ports"), "[Service]\n")
	if err := os.Mkdir(unit+".d", 0o700); err != nil || !found {
		t.Fatal(err, found)
	}
	if err := os.WriteFile(filepath.Join(unit+".d", "override.conf"), []byte("[Service]\n"+added), 0o600); err != nil {
		t.Fatal(err)
	}
	path := []string{"SYSTEMD_UNIT_PATH=" + filepath.Dir(unit) + ":"}
	if out := run(t, path, "systemd-analyze", "verify", unit); strings.Contains(out, "muster.service") {
		t.Errorf("%s", out)
	}
	out := run(t, path, "systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
	for _, setting := range []string{"AmbientCapabilities=", "PrivateUsers="} {
		if !regexp.MustCompile("✗ " + setting).MatchString(out) {
			t.Errorf("%s is as before:\n%s", setting, out)
		}
	}
}
