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

var (
	// commandWord matches one argument of a command line, with its quotes.
	commandWord = regexp.MustCompile(`"[^"]*"|[^ "]+`)
	// substitution matches the output of another command in a command line.
	substitution = regexp.MustCompile(`\$\([^)]*\)`)
)

// documentedCommands returns the arguments of each command line that README.md and the pages of
// docs show, by page and line. Guides that are followed step by step are also tested as a whole, in
// packaging.
func documentedCommands(t *testing.T) map[string][]string {
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
			if args := documentedArgs(line); args != nil {
				commands[fmt.Sprintf("%s:%03d", page, number+1)] = args
			}
		}
	}
	if len(commands) < 40 {
		t.Fatalf("only %d commands found", len(commands))
	}
	return commands
}

// documentedArgs returns the arguments of muster in a line of Markdown that is code; nil for any
// other line. What a shell would do with the output is cut off.
func documentedArgs(line string) []string {
	command, indented := strings.CutPrefix(line, "    ")
	command = substitution.ReplaceAllString(strings.TrimPrefix(command, "./"), "1")
	if !indented || !strings.HasPrefix(command, "muster ") {
		return nil
	}
	for _, end := range []string{" #", " | ", " > ", " || "} {
		command, _, _ = strings.Cut(command, end)
	}
	args := commandWord.FindAllString(command, -1)[1:]
	for i, arg := range args {
		args[i] = strings.Trim(arg, `"`)
	}
	return args
}

// TestDocs_CommandsWork parses every documented command, and runs those that ask an appliance or
// write files. The others run for long or need a loss, and have tests of their own.
func TestDocs_CommandsWork(t *testing.T) {
	config := fastLabConfig(t, "index = ['os.name']\n")
	p := startProcess(t, config)
	registerFacts(t, p.broker, "web1.example.net",
		[]byte(`{"os":{"name":"Debian"},"cores":4}`), []byte(`{"os":{"name":"Debian"},"cores":8}`))
	wait.Eventually(t, func() error {
		_, out, errOut := muster(t, "node", "web1.example.net", "--diff", "--server", p.console)
		if !strings.Contains(out, "cores") {
			return errors.New(out + errOut)
		}
		return nil
	})
	site := filepath.Join(t.TempDir(), "site") // that init makes, and enroll uses
	commands := documentedCommands(t)
	for _, where := range slices.Sorted(maps.Keys(commands)) {
		args := commands[where]
		t.Run(where, func(t *testing.T) {
			if err := parses(slices.Clone(args)); err != nil {
				t.Fatalf("muster %s: %v", strings.Join(args, " "), err)
			}
			isGuide := strings.Contains(where, "operate.md") && args[0] == "init" || slices.Contains(args, "accept-loss")
			if slices.Contains([]string{"run", "bench", "import"}, args[0]) || isGuide {
				return
			}
			runDocumented(t, args, config, site, p.console)
		})
	}
}

// runDocumented runs a documented command with the files and the console of the test in place of
// those in the documentation.
func runDocumented(t *testing.T, args []string, config, site, console string) {
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
	ofSite := slices.Contains([]string{"init", "enroll", "revoke", "rotate"}, args[0])
	asksConsole := !ofSite && args[0] != "check" && !slices.Contains(args, "apply")
	if asksConsole || slices.Contains(args, "health") {
		args = append(args, "--server", console)
	}
	if args[0] == "init" || args[0] == "enroll" {
		args = append(args, "--force")
	}
	status, out, errOut := muster(t, args...)
	// check health and check host report the state of this machine with their status.
	judges := args[0] == "check" && len(args) > 1 && !strings.HasPrefix(args[1], "-")
	if status != 0 && !judges {
		t.Errorf("muster %s: %d\n%s%s", strings.Join(args, " "), status, out, errOut)
	}
}

// parses returns why the program refuses a command line.
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
