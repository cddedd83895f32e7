package cli

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
	"strconv"
	"strings"
	"testing"
)

// Flags that several of Choria's commands have.
const (
	choriaFilters = " --wf -F --wc -C --wa -A --wi -I --with -W --select -S --target -T --do"
	choriaMethods = " --dm --nodes --discovery-timeout --discovery-window --federations"
)

// choriaCommands are the commands of Choria 0.30.2 that documents and messages may name, each with all
// flags of its help text, and the hidden ones to run without TLS.
var choriaCommands = map[string]string{
	"ping": "--config --names --silent --federations --expect --timeout --graph --workers" + choriaFilters,
	"req": "--config --json -j --jsonl --table --senders --limit --limit-seed --batch --batch-sleep --workers --np " +
		"--verbose -v --display --output-file -o --filter-replies --reply-to -r --sort" + choriaFilters + choriaMethods,
	"discover": "--config --json -j --verbose -v" + choriaFilters + choriaMethods,
	"facts": "--config --table -t --json -j --verbose -v --show-nodes -n --reverse -r" +
		choriaFilters + choriaMethods,
	"inventory":  "--config --collectives --facts --no-facts --wf -F --wc -C --wa -A --wi -I --with -W",
	"server run": "--config --pid --service-host --disable-tls --disable-ssl-verification",
	"broker run": "--config --pid --disable-tls --disable-ssl-verification",
	"buildinfo":  "--dependencies -D",
	"jwt keys":   "--force -f --show-public",
	"jwt server": "--collectives --org --subjects --submission --stream-user --validity --service --vault --governor",
	"jwt client": "--agents --org --opa-file --opa --validity --public-key --stream-admin --stream-user " +
		"--event-viewer --elections-user --service --system --auth-delegation --fleet-management " +
		"--no-fleet-management --signed-fleet-management --org-admin --publish --subscribe --issuer " +
		"--server-provisioner --governor --vault",
	"jwt provisioning": "--insecure --no-insecure --token --urls --srv --default --registration --facts --username " +
		"--password --extensions --org --vault --protocol-v2 --upgrade --validity",
	"jwt view": "",

	"governor add":    "--config --force -f",
	"governor view":   "--config",
	"governor list":   "--config --json -j",
	"governor run":    "--config --max-wait --interval --max-per-period",
	"governor evict":  "--config --force -f",
	"governor reset":  "--config --force -f",
	"governor delete": "--config --force -f",

	"kv add":     "--config --history --ttl --replicas --max-value-size --max-bucket-size --direct",
	"kv get":     "--config --raw",
	"kv put":     "--config",
	"kv del":     "--config --force -f",
	"kv history": "--config",
	"kv keys":    "--config",
	"kv list":    "--config",
	"kv status":  "--config",
	"kv watch":   "--config --once --timeout",
}

// choriaCommandLine matches a command line of Choria, at the start of a line, in code or after a colon,
// up to the end of the code that it is in.
var choriaCommandLine = regexp.MustCompile("(?m)(?:^[ \t]*|: |[`\"])choria ([a-z][^`\\n]*)")

// isProgram reports whether users read the strings of a file.
func isProgram(path string) bool {
	return strings.HasPrefix(path, "../../internal/") && strings.HasSuffix(path, ".go") &&
		!strings.HasSuffix(path, "_test.go")
}

// choriaShellEnd matches what follows a command in a line of a shell, and what an error says after it.
var choriaShellEnd = regexp.MustCompile(`\s+(#|\||>|&&|;).*$|, and .*$`)

// checkChoriaCommand returns an error unless Choria has the command and all its flags.
func checkChoriaCommand(line string) error {
	words := commandWord.FindAllString(choriaShellEnd.ReplaceAllString(line, ""), -1)
	name := words[0]
	known, exists := choriaCommands[name]
	if !exists && len(words) > 1 {
		name += " " + words[1]
		known, exists = choriaCommands[name]
	}
	if !exists {
		return fmt.Errorf("choria has no command %q that is listed in choriaCommands", name)
	}
	for _, word := range words {
		flag, _, _ := strings.Cut(word, "=")
		if strings.HasPrefix(flag, "-") && !slices.Contains(strings.Fields(known), flag) {
			return fmt.Errorf("choria %s has no flag %s", name, flag)
		}
	}
	return nil
}

// texts returns what users read, by file: Markdown, and the strings of the program.
func texts(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || len(entry.Name()) > 2 && entry.Name()[0] == '.'):
			return fs.SkipDir
		case strings.HasSuffix(path, ".md"):
			text, err := os.ReadFile(path)
			found[path] = strings.Split(string(text), "\n")
			return err
		case isProgram(path):
			found[path], err = stringsIn(path)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// stringsIn returns the string literals of a Go file.
func stringsIn(path string) (found []string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				found = append(found, text)
			}
		}
		return true
	})
	return found, nil
}

func TestTexts_NameCommandsAndFlagsOfChoria(t *testing.T) {
	count := 0
	for path, lines := range texts(t) {
		for _, line := range lines {
			for _, command := range choriaCommandLine.FindAllStringSubmatch(line, -1) {
				count++
				if err := checkChoriaCommand(command[1]); err != nil {
					t.Errorf("%s: %q: %v", path, command[0], err)
				}
			}
		}
	}
	if count < 9 {
		t.Errorf("only %d commands found", count)
	}
}

func TestCheckChoriaCommand(t *testing.T) {
	for line, want := range map[string]bool{
		`req rpcutil ping -W os.name=Debian --dm external --do command="muster discover --x"`: true,
		`discover --dm=external --do command="muster discover" | wc -l`:                       true,
		`server run --config /etc/choria/server.conf`:                                         true,
		`server run --dm external`:                                                            false,
		`ping --dm external`:                                                                  false,
		`ping -W a=b`:                                                                         true,
		`pong`:                                                                                false,
		`jwt view FILE`:                                                                       true,
		`governor view puppet`:                                                                true,
		`governor show puppet`:                                                                false,
	} {
		t.Run(line, func(t *testing.T) {
			if err := checkChoriaCommand(line); (err == nil) != want {
				t.Errorf("%v, want %t", err, want)
			}
		})
	}
}
