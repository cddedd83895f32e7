package cli

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
)

var update = flag.Bool("update", false, "write what the commands print into testdata/golden")

// onTerminal begins a command line that is run on a terminal; the others are read by a program.
const onTerminal = "on a terminal: "

// commandLines are what the transcripts in testdata/golden are of.
var commandLines = []string{
	onTerminal + "status",
	"status --json",
	onTerminal + "fleet",
	"fleet --json",
	"fleet --csv",
	onTerminal + "nodes",
	onTerminal + "nodes --state down",
	"nodes",
	"nodes --state up --json",
	"nodes --csv",
	"nodes --format flatfile",
	"nodes --format inventory",
	onTerminal + "node web2.example.net",
	"node web2.example.net --json",
	"node web2.example.net --facts",
	onTerminal + "node web2.example.net --diff",
	"node web2.example.net --diff --json",
	onTerminal + "events --limit 5",
	"events --since 5h --json",
	"events --csv",
	onTerminal + "rejected",
	"rejected --json",
	"rejected --csv",
	onTerminal + "streams",
	"streams",
	"streams --json",
	"streams --csv",
	"check health",
	"check health --format json",
	"check health --format prometheus",
	"check health --format text",
}

// shown runs a command line, and gives all that is to be seen of it.
func shown(t *testing.T, line, server string) string {
	t.Helper()
	text, terminal := strings.CutPrefix(line, onTerminal)
	args := append(strings.Fields(text), "--server", server)
	if terminal {
		return text + "\n" + lookedAt(t, args)
	}
	status, out, errOut := muster(t, args...)
	seen := text + " | cat\n" + out
	for line := range strings.Lines(errOut) {
		seen += "to standard error: " + line
	}
	return seen + exitStatus(status)
}

// lookedAt is what a command shows on a terminal.
func lookedAt(t *testing.T, args []string) string {
	t.Helper()
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	seen := make(chan []byte)
	go func() {
		text, _ := io.ReadAll(screen) // Linux ends it with EIO
		seen <- text
	}()
	status := Run(t.Context(), args, terminal, terminal)
	_ = terminal.Close()
	return strings.ReplaceAll(string(<-seen), "\r\n", "\n") + exitStatus(status)
}

func exitStatus(status int) string {
	if status == 0 {
		return ""
	}
	return fmt.Sprintf("exit status: %d\n", status)
}

// times are of now, and different with each run.
var times = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

func TestWhatTheCommandsPrint(t *testing.T) {
	const nobody, token = "http://127.0.0.1:1", "a token that is long enough"
	for name, server := range map[string]string{
		"inhabited": inhabited().open(t, ""), "deserted": deserted().open(t, ""), "unreachable": nobody, "token": inhabited().open(t, token),
	} {
		var transcript strings.Builder
		for _, line := range commandLines {
			seen := times.ReplaceAllString(shown(t, line, server), "TIME")
			fmt.Fprintf(&transcript, "$ muster %s\n", strings.ReplaceAll(seen, server, "http://CONSOLE"))
		}
		path := filepath.Join("testdata", "golden", name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(transcript.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		have, wanted := strings.Split(transcript.String(), "\n"), strings.Split(string(want), "\n")
		for i := range max(len(have), len(wanted)) {
			if i >= len(have) || i >= len(wanted) || have[i] != wanted[i] {
				t.Errorf("%s:%d: otherwise than there:\n%s", path, i+1, strings.Join(have[min(i, len(have)-1):min(i+10, len(have))], "\n"))
				break
			}
		}
	}
}
