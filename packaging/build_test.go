// Package packaging tests what the packages are: built, installed, upgraded and removed in
// roots of their own. That takes minutes and tools, so it is done where MUSTER_TEST_PACKAGES
// asks for it, and then nothing of it is skipped.
package packaging

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// asked skips a test that nobody has asked for.
func asked(t *testing.T) {
	t.Helper()
	if os.Getenv("MUSTER_TEST_PACKAGES") == "" {
		t.Skip("MUSTER_TEST_PACKAGES is not set: this builds and installs packages, as root")
	}
	if os.Getuid() != 0 {
		t.Fatal("installing packages takes root")
	}
}

// run runs a command to its end, and gives what it prints.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// shell runs a script with arguments.
func shell(t *testing.T, script string, args ...string) string {
	t.Helper()
	return run(t, nil, "sh", append([]string{"-euc", script, "sh"}, args...)...)
}

// release is what packaging/build has made.
type release struct{ dir, version string }

func (r release) file(pattern string) string {
	found, err := filepath.Glob(filepath.Join(r.dir, "dist", pattern))
	if err != nil || len(found) != 1 {
		panic(fmt.Sprintf("%s: %v %v", pattern, found, err))
	}
	return found[0]
}

func (r release) deb() string { return r.file("*_amd64.deb") }
func (r release) rpm() string { return r.file("*.x86_64.rpm") }

// releases are built once: two versions, of which the second ships another configuration.
var releases = sync.OnceValues(func() (built [2]release, err error) {
	text, err := os.ReadFile("../appliance.toml")
	if err != nil {
		return built, err
	}
	config := filepath.Join(scratch, "appliance.toml")
	if err := os.WriteFile(config, append(text, "\n# The second version.\n"...), 0o600); err != nil {
		return built, err
	}
	for i, env := range [][]string{{"VERSION=1.0.0"}, {"VERSION=1.0.1", "ARCHES=amd64", "CONFIG=" + config}} {
		built[i] = release{filepath.Join(scratch, env[0]), strings.TrimPrefix(env[0], "VERSION=")}
		if out, err := build(built[i].dir, env...); err != nil {
			return built, fmt.Errorf("%w\n%s", err, out)
		}
	}
	return built, nil
})

func build(out string, env ...string) ([]byte, error) {
	cmd := exec.Command("./build")
	cmd.Env = append(append(os.Environ(), "OUT="+out, "COMMIT=0123456789ab", "SOURCE_DATE_EPOCH=1795600000"), env...)
	return cmd.CombinedOutput()
}

// scratch is where what all tests use is made.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "muster-packages")
	if err != nil {
		panic(err)
	}
	scratch = dir
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

func both(t *testing.T) (first, second release) {
	t.Helper()
	asked(t)
	built, err := releases()
	if err != nil {
		t.Fatal(err)
	}
	return built[0], built[1]
}

func TestTwoBuildsAreEqual(t *testing.T) {
	first, _ := both(t)
	again := t.TempDir()
	t.Setenv("TZ", "Pacific/Auckland")
	cmd := exec.Command("sh", "-c", "umask 077; exec ./build")
	cmd.Env = append(os.Environ(), "OUT="+again, "COMMIT=0123456789ab", "SOURCE_DATE_EPOCH=1795600000", "VERSION=1.0.0")
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
		t.Errorf("one build:\n%sthe other:\n%s", sums[0], sums[1])
	}
}

func TestTheBinariesSayWhatTheyAre(t *testing.T) {
	first, _ := both(t)
	if have := run(t, nil, first.file("*-linux-amd64"), "version"); !strings.HasPrefix(have, "muster 1.0.0 (commit 0123456789ab, go") {
		t.Errorf("version: %s", have)
	}
	for pattern, want := range map[string]string{"*-linux-amd64": "x86-64", "*-linux-arm64": "aarch64"} {
		if have := run(t, nil, "file", first.file(pattern)); !strings.Contains(have, want) || !strings.Contains(have, "statically linked") {
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
	if bom.Version != "SPDX-2.3" || listed["github.com/muster-appliance/muster"] != "1.0.0" || listed["stdlib"] == "" ||
		!strings.HasPrefix(listed["github.com/nats-io/nats-server/v2"], "v2.") || len(bom.Relationships) != len(bom.Packages) {
		t.Errorf("%+v", bom)
	}
}

func TestLintersHaveNothingToSay(t *testing.T) {
	first, _ := both(t)
	if out := run(t, nil, "lintian", "--allow-root", "--fail-on", "error,warning,info", "--suppress-tags", "", first.deb()); out != "" {
		t.Errorf("lintian:\n%s", out)
	}
	if out := run(t, nil, "rpmlint", "--config", "rpmlint.toml", first.rpm()); !strings.Contains(out, "0 errors, 0 warnings") {
		t.Errorf("rpmlint:\n%s", out)
	}
}

func TestTheUnitIsHardened(t *testing.T) {
	asked(t)
	text, err := os.ReadFile("muster.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Type=notify", "User=muster", "WatchdogSec=60", "Restart=on-failure", "RestartPreventExitStatus=78", "StateDirectory=muster", "LimitNOFILE=524288",
		"LoadCredential=muster:/etc/muster/credentials", "ExecReload=+/usr/bin/muster check --config /etc/muster/appliance.toml\nExecReload=/bin/kill -HUP $MAINPID",
	} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the unit has no %s", line)
		}
	}
	unit := filepath.Join(t.TempDir(), "muster.service")
	text = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAll(text, nil) // which is not installed here
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/muster", "/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, nil, "systemd-analyze", "verify", unit); strings.Contains(out, "muster.service") {
		t.Errorf("%s", out)
	}
	out := run(t, nil, "systemd-analyze", "security", "--offline=true", "--threshold=15", unit) // tenths
	t.Log(out[strings.LastIndex(out, "→"):])
}
