package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// words are those of a command line, as far as they are for one program.
var words = regexp.MustCompile(`"[^"]*"|[^ "]+`)

// printed is what another command prints.
var printed = regexp.MustCompile(`\$\([^)]*\)`)

// manualCommands are the command lines that a page shows, as words, with where they stand. Pages
// that are a way to go are gone by a test of the packages.
func manualCommands(t *testing.T) map[string][]string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 7 {
		t.Fatalf("%v %v", pages, err)
	}
	commands := map[string][]string{}
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for number, line := range strings.Split(string(text), "\n") {
			command, indented := strings.CutPrefix(line, "    ")
			command = printed.ReplaceAllString(strings.TrimPrefix(command, "./"), "1")
			if !indented || !strings.HasPrefix(command, "muster ") {
				continue
			}
			for _, end := range []string{" #", " | ", " > ", " || "} {
				command, _, _ = strings.Cut(command, end)
			}
			args := words.FindAllString(command, -1)[1:]
			for i, arg := range args {
				args[i] = strings.Trim(arg, `"`)
			}
			commands[fmt.Sprintf("%s:%d", page, number+1)] = args
		}
	}
	if len(commands) < 40 {
		t.Fatalf("only %d commands are seen", len(commands))
	}
	return commands
}

// TestTheCommandsOfTheManualAreThere parses all, and runs those that ask an appliance or make
// files: others run for long, and have tests of their own.
func TestTheCommandsOfTheManualAreThere(t *testing.T) {
	config := quick(t, "index = ['os.name']\n")
	p := startProcess(t, config)
	registerFacts(t, p.broker, "web1.example.net", []byte(`{"os":{"name":"Debian"},"cores":4}`), []byte(`{"os":{"name":"Debian"},"cores":8}`))
	wait.Eventually(t, func() error {
		if _, out, errOut := muster(t, "node", "web1.example.net", "--diff", "--server", p.console); !strings.Contains(out, "cores") {
			return errors.New(out + errOut)
		}
		return nil
	})
	site := filepath.Join(t.TempDir(), "site")
	commands := manualCommands(t)
	for _, where := range slices.Sorted(maps.Keys(commands)) {
		args := commands[where]
		if err := parses(slices.Clone(args)); err != nil {
			t.Errorf("%s: muster %s: %v", where, strings.Join(args, " "), err)
			continue
		}
		if slices.Contains([]string{"run", "bench", "import"}, args[0]) || strings.Contains(where, "operate.md") && args[0] == "init" {
			continue
		}
		for i, arg := range args {
			switch arg {
			case "FILE", "/etc/muster/appliance.toml", "appliance.toml":
				args[i] = config
			case "site":
				args[i] = site
			case "/var/tmp/muster-check.json":
				args[i] = filepath.Join(t.TempDir(), "state.json")
			}
		}
		args = slices.DeleteFunc(args, func(arg string) bool { return arg == "--follow" })
		if !slices.Contains([]string{"init", "enroll", "check"}, args[0]) && !slices.Contains(args, "apply") || slices.Contains(args, "health") {
			args = append(args, "--server", p.console)
		}
		if args[0] == "init" || args[0] == "enroll" {
			args = append(args, "--force")
		}
		status, out, errOut := muster(t, args...)
		if isCheck := args[0] == "check" && len(args) > 1 && !strings.HasPrefix(args[1], "-"); status != 0 && !isCheck {
			t.Errorf("%s: muster %s: %d\n%s%s", where, strings.Join(args, " "), status, out, errOut)
		}
	}
}

func parses(args []string) error {
	root := (&program{}).root()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
