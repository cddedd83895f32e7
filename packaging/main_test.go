// Package packaging tests the packages: it builds, installs, upgrades and removes them in
// directories of their own, as root. That takes minutes and tools, so the tests run only with
// MUSTER_TEST_PACKAGES, and then none is skipped.
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

// requirePackages skips the test unless MUSTER_TEST_PACKAGES is set.
func requirePackages(t *testing.T) {
	t.Helper()
	if os.Getenv("MUSTER_TEST_PACKAGES") == "" {
		t.Skip("MUSTER_TEST_PACKAGES is not set: this builds and installs packages, as root")
	}
	if os.Getuid() != 0 {
		t.Fatal("installing packages needs root")
	}
}

// run runs a command and returns its output. The test fails if the command fails.
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

// release is the result of packaging/build.
type release struct{ dir, version string }

// file returns the only file in dist that matches the pattern.
func (r release) file(pattern string) string {
	found, err := filepath.Glob(filepath.Join(r.dir, "dist", pattern))
	if err != nil || len(found) != 1 {
		panic(fmt.Sprintf("%s: %v %v", pattern, found, err))
	}
	return found[0]
}

func (r release) deb() string { return r.file("*_amd64.deb") }
func (r release) rpm() string { return r.file("*.x86_64.rpm") }

// releases builds two versions, once. The second ships another configuration.
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

// commit and date are those of every build.
const (
	commit = "COMMIT=0123456789ab"
	date   = "SOURCE_DATE_EPOCH=1795600000"
)

// build runs packaging/build with the directory for its results.
func build(out string, env ...string) ([]byte, error) {
	cmd := exec.Command("./build")
	cmd.Env = append(append(os.Environ(), "OUT="+out, commit, date), env...)
	return cmd.CombinedOutput()
}

// scratch is the directory of the files that all tests share.
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

// requireReleases returns both releases, or skips the test.
func requireReleases(t *testing.T) (first, second release) {
	t.Helper()
	requirePackages(t)
	built, err := releases()
	if err != nil {
		t.Fatal(err)
	}
	return built[0], built[1]
}
