package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// words are those of a command line, as far as they are for one program.
var words = regexp.MustCompile(`"[^"]*"|[^ "]+`)

// printed is what another command prints.
var printed = regexp.MustCompile(`\$\([^)]*\)`)

// TestTheCommandsOfTheManualAreThere parses each command line that a page shows: there is such a
// command, with such flags and arguments. Pages that are a way to go are gone by a test of the
// packages.
func TestTheCommandsOfTheManualAreThere(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 7 {
		t.Fatalf("%v %v", pages, err)
	}
	seen := 0
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
			seen++
			command, _, _ = strings.Cut(command, " #")
			command, _, _ = strings.Cut(command, " | ")
			command, _, _ = strings.Cut(command, " > ")
			command, _, _ = strings.Cut(command, " || ")
			if err := parses(words.FindAllString(command, -1)[1:]); err != nil {
				t.Errorf("%s:%d: %s: %v", page, number+1, command, err)
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d commands were seen", seen)
	}
}

func parses(args []string) error {
	for i, arg := range args {
		args[i] = strings.Trim(arg, `"`)
	}
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
