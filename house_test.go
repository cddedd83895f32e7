package main

import (
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

// floors is the floor of each package, from the ground up; ARCHITECTURE.md says why. A
// package imports only from floors below its own.
var floors = map[string]int{
	"internal/config":       0, // imports nothing of the project, as do all of layer 0
	"internal/contract":     0,
	"internal/host":         0,
	"internal/subject":      0,
	"internal/throttle":     0,
	"internal/testkit/wait": 0, // imported by tests alone

	"internal/choria":     1,
	"internal/inproc":     1,
	"internal/monitoring": 1,
	"internal/pki":        1,
	"internal/rejected":   1,

	"adapter":         2,
	"broker":          2,
	"fleet":           2,
	"internal/enroll": 2,
	"jsconfig":        2,

	"console":             3,
	"internal/brokerconf": 3,
	"internal/simnode":    3,

	"internal/apiclient": 4,
	"internal/appliance": 4,

	"internal/bench": 5,

	"internal/cli":     6,
	"internal/testkit": 6, // imported by tests alone, as is the next

	"internal/testkit/authority": 2,

	"packaging/bom": 7,
	".":             7,
}

// only lists packages that a single package may import.
var only = map[string]string{
	"github.com/nats-io/nats-server/v2/server": "broker",
	module + "/internal/testkit":               "",
	module + "/internal/testkit/authority":     "",
}

// sources calls visit for every Go file that is not a test, with its package's directory.
func sources(t *testing.T, visit func(dir, file string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			visit(filepath.Dir(path), path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
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

func TestFloorPlan(t *testing.T) {
	seen := map[string]bool{}
	sources(t, func(dir, file string) {
		seen[dir] = true
		floor, known := floors[dir]
		if !known {
			t.Errorf("%s is on no floor", dir)
		}
		for _, path := range imports(t, file) {
			if owner, restricted := only[path]; restricted && owner != dir {
				t.Errorf("%s imports %s", file, path)
			}
			below, ours := strings.CutPrefix(path, module+"/")
			if ours && floors[below] >= floor {
				t.Errorf("%s, on floor %d, imports %s, on floor %d", file, floor, below, floors[below])
			}
			if floor <= 1 && strings.Contains(path, "nats-io") {
				t.Errorf("%s, below floor 2, imports %s", file, path)
			}
		}
	})
	for dir := range floors {
		if !seen[dir] {
			t.Errorf("%s has a floor and no files", dir)
		}
	}
}

// said is a warning or an error that is logged.
var said = regexp.MustCompile(`\.(?:Warn|Error)\("((?:[^"\\]|\\.)*)"`)

func TestEveryWarningIsInTheManual(t *testing.T) {
	text, err := os.ReadFile("docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	sources(t, func(_, file string) {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range said.FindAllStringSubmatch(string(code), -1) {
			if line := strings.ReplaceAll(m[1], `\"`, `"`); !strings.Contains(string(text), "`"+line+"`") {
				t.Errorf("%s logs %q, which docs/operate.md does not explain", file, line)
			}
		}
	})
}

func TestFilesAreSmall(t *testing.T) {
	sources(t, func(_, file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(text), "\n"); lines > 300 {
			t.Errorf("%s has %d lines; which noun is it about?", file, lines)
		}
	})
}

func TestFunctionsAreSmall(t *testing.T) {
	sources(t, func(_, file string) {
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
				t.Errorf("%s: %s has %d lines", file, f.Name.Name, lines)
			}
		}
	})
}

func TestEveryDependencyHasAReason(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1)
	reasons := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .{10,} \\|$").FindAllStringSubmatch(string(doc), -1)
	names := func(matches [][]string) []string {
		var all []string
		for _, m := range matches {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return all
	}
	if have, want := names(reasons), names(direct); len(want) == 0 || !slices.Equal(have, want) {
		t.Errorf("DEPENDENCIES.md has reasons for\n%s\ngo.mod requires\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheReadmesCommandsAreThere(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	screen := strings.Join(strings.SplitN(string(readme), "\n", 41)[:40], "\n")
	for _, command := range []string{"go run . demo", "go test ./..."} {
		if !strings.Contains(screen, command) {
			t.Errorf("the first screen of README.md does not have %q", command)
		}
	}
	ci, err := os.ReadFile(".ci/run")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(ci), "go test ./...") {
		t.Error(".ci/run does not run the README's test command")
	}
}
