// This file tests the conventions of the project: CONTRIBUTING.md explains them.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/muster-appliance/muster"

// layers is the layer of each package; ARCHITECTURE.md gives the reasons. A package imports
// only from layers below its own.
var layers = map[string]int{
	"internal/config":       0, // packages of layer 0 import nothing of the project
	"internal/contract":     0,
	"internal/host":         0,
	"internal/retry":        0,
	"internal/revocation":   0,
	"internal/subject":      0,
	"internal/throttle":     0,
	"internal/translate":    0,
	"internal/testkit/wait": 0, // imported only by tests
	"internal/testkit/deaf": 0,
	"internal/testkit/link": 0,

	"internal/testkit/proxy": 0,

	"internal/audit":      1,
	"internal/choria":     1,
	"internal/dial":       1,
	"internal/inproc":     1,
	"internal/integrity":  1,
	"internal/monitoring": 1,
	"internal/pki":        1,
	"internal/puback":     1,
	"internal/rejected":   1,
	"internal/tlsfile":    1,
	"internal/uplink":     1,

	"adapter":                2,
	"broker":                 2,
	"internal/privatestream": 2,
	"fleet":                  2,
	"forward":                2,
	"internal/enroll":        2,
	"internal/governor":      2,
	"jsconfig":               2,

	"console":                 3,
	"internal/brokerconf":     3,
	"internal/replicatorconf": 3,
	"internal/simnode":        3,

	"internal/apiclient": 4,
	"internal/appliance": 4,

	"internal/bench": 5,

	"internal/cli":     6,
	"internal/testkit": 6, // imported only by tests

	"internal/testkit/adversary": 4,
	"internal/testkit/oracle":    2,
	"internal/testkit/authority": 2,

	"packaging/bom": 7,
	".":             7,
}

// only lists packages that a single package may import, beside tests; "" means only tests.
var only = map[string]string{
	"github.com/nats-io/nats-server/v2/server": "broker",
	module + "/internal/testkit":               "",
	module + "/internal/testkit/adversary":     "",
	module + "/internal/testkit/deaf":          "internal/testkit/adversary",
	module + "/internal/testkit/link":          "",
	module + "/internal/testkit/oracle":        "",
	module + "/internal/testkit/proxy":         "",
	module + "/internal/testkit/authority":     "internal/testkit/adversary",
	module + "/internal/testkit/wait":          "internal/testkit",
}

func TestLayers(t *testing.T) {
	seen := map[string]bool{}
	eachSource(t, func(dir, file string) {
		seen[dir] = true
		layer, known := layers[dir]
		if !known {
			t.Errorf("%s is not in layers", dir)
		}
		for _, path := range imports(t, file) {
			if owner, restricted := only[path]; restricted && owner != dir {
				t.Errorf("%s imports %s; only %q may", file, path, owner)
			}
			imported, ours := strings.CutPrefix(path, module+"/")
			if ours && layers[imported] >= layer {
				t.Errorf("%s in layer %d imports %s in layer %d", file, layer, imported, layers[imported])
			}
			if layer <= 1 && strings.Contains(path, "nats-io") {
				t.Errorf("%s in layer %d imports %s; only layers from 2 up may", file, layer, path)
			}
		}
	})
	for dir := range layers {
		if !seen[dir] {
			t.Errorf("%s is in layers, but has no files", dir)
		}
	}
}

func imports(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, i := range parsed.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

// eachFile calls visit for every file of the project with one of the extensions, except
// those in testdata and hidden directories.
func eachFile(t *testing.T, visit func(path string), extensions ...string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && path != "."
		if d.IsDir() && (hidden || slices.Contains([]string{"testdata", "build", "dist"}, d.Name())) {
			return filepath.SkipDir
		}
		if !d.IsDir() && slices.Contains(extensions, filepath.Ext(path)) {
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// eachSource calls visit for every Go file that is not a test, with the directory of its package.
func eachSource(t *testing.T, visit func(dir, file string)) {
	t.Helper()
	eachFile(t, func(path string) {
		if !strings.HasSuffix(path, "_test.go") {
			visit(filepath.Dir(path), path)
		}
	}, ".go")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// report fails the test if there are findings.
func report(t *testing.T, findings []string) {
	t.Helper()
	if len(findings) > 0 {
		t.Errorf("%d findings:\n%s", len(findings), strings.Join(findings, "\n"))
	}
}

func TestFiles_AreSmall(t *testing.T) {
	eachSource(t, func(_, file string) {
		if lines := strings.Count(read(t, file), "\n"); lines > 300 {
			t.Errorf("%s has %d lines, more than 300; split it by what its parts are about", file, lines)
		}
	})
}

func TestFunctions_AreSmall(t *testing.T) {
	eachSource(t, func(_, file string) {
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if lines := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; lines > 40 {
				t.Errorf("%s: %s has %d lines, more than 40", file, f.Name.Name, lines)
			}
		}
	})
}

// clock matches a use of the machine's clock.
var clock = regexp.MustCompile(`time\.(Now|Since|Until)\(`)

// TestTime_IsPassedIn allows the clock below internal/appliance only for the deadlines of
// sockets, and in packages that stand for other machines or serve tests.
func TestTime_IsPassedIn(t *testing.T) {
	var findings []string
	eachSource(t, func(dir, file string) {
		if layers[dir] >= layers["internal/appliance"] || dir == "internal/simnode" ||
			strings.HasPrefix(dir, "internal/testkit") {
			return
		}
		for i, line := range strings.Split(read(t, file), "\n") {
			if clock.MatchString(line) && !strings.Contains(line, "Deadline(") {
				findings = append(findings, fmt.Sprintf("%s:%d: %s", file, i+1, strings.TrimSpace(line)))
			}
		}
	})
	report(t, findings)
}

// firstColumn returns what the tables of a Markdown text hold in their first column, in
// backticks, if a second column explains it.
func firstColumn(text string) []string {
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .{10,} \\|$").FindAllStringSubmatch(text, -1) {
		names = append(names, row[1])
	}
	slices.Sort(names)
	return names
}

func TestDependencies_HaveReasons(t *testing.T) {
	modules, tools, found := strings.Cut(read(t, "DEPENDENCIES.md"), "\n## Tools\n")
	if !found {
		t.Fatal("DEPENDENCIES.md has no section Tools")
	}
	compare := func(file string, want, have []string) {
		t.Helper()
		slices.Sort(want)
		if len(want) == 0 || !slices.Equal(have, want) {
			t.Errorf("DEPENDENCIES.md has reasons for\n%s\n%s requires\n%s",
				strings.Join(have, "\n"), file, strings.Join(want, "\n"))
		}
	}
	var required []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(read(t, "go.mod"), -1) {
		required = append(required, m[1])
	}
	compare("go.mod", required, firstColumn(modules))

	var pinned []string
	scripts := read(t, ".ci/run") + read(t, "packaging/build")
	for _, m := range regexp.MustCompile(`(?m)^[a-z]+=(\S+)@v\S+$`).FindAllStringSubmatch(scripts, -1) {
		pinned = append(pinned, m[1])
	}
	compare("scripts", pinned, firstColumn(tools))
}

func TestReadme_ShowsHowToRunAndTest(t *testing.T) {
	screen := strings.Join(strings.SplitN(read(t, "README.md"), "\n", 41)[:40], "\n")
	for _, command := range []string{"go run . demo", "go test ./..."} {
		if !strings.Contains(screen, command) {
			t.Errorf("the first 40 lines of README.md do not show %q", command)
		}
	}
}

func TestGate_RunsTestsFuzzersAndGovulncheck(t *testing.T) {
	gate := read(t, ".ci/run")
	for _, command := range []string{"\ngo test -timeout 30m ./...\n", "\n.ci/fuzz 60\n", `"$built/govulncheck" ./...`} {
		if !strings.Contains(gate, command) {
			t.Errorf(".ci/run lacks %q", command)
		}
	}
}
