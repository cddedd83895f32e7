package cli

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
)

var update = flag.Bool("update", false, "write what commands print and the API answers to testdata/golden")

// onTerminal is the prefix of a command line that is run on a terminal. The output of the others
// goes to a pipe.
const onTerminal = "on a terminal: "

// commandLines are run for each transcript of commands in testdata/golden.
var commandLines = []string{
	onTerminal + "status",
	"status --json",
	onTerminal + "fleet",
	"fleet --json",
	"fleet --csv",
	onTerminal + "nodes",
	onTerminal + "nodes --state down",
	onTerminal + "nodes --state connected",
	"nodes",
	"nodes --state up --json",
	"nodes --csv",
	"nodes --collective fra",
	"nodes --format json --state up",
	"nodes --format table --state up",
	"nodes --format flatfile",
	"nodes --format inventory",
	onTerminal + "node web2.example.net",
	"node web2.example.net --json",
	"node web2.example.net --facts",
	onTerminal + "node web2.example.net --diff",
	onTerminal + "node web3.example.net",
	"node web3.example.net --facts",
	"node web2.example.net --diff --json",
	onTerminal + "events --limit 5",
	"events --since 5h --json",
	"events --csv",
	onTerminal + "rejected",
	"rejected",
	"rejected --json",
	"rejected --csv",
	onTerminal + "rejected --permissions",
	"rejected --permissions --json",
	"rejected --permissions --csv",
	onTerminal + "streams",
	"streams",
	"streams --json",
	"streams --csv",
	"check health",
	"check health --format json",
	"check health --format prometheus",
	"check health --format text",
}

// requests are sent for the transcript of the API in testdata/golden.
var requests = []string{
	"GET /api/v1/fleet",
	"GET /api/v1/nodes",
	"GET /api/v1/nodes?state=down&format=jsonl",
	"GET /api/v1/nodes?format=csv",
	"GET /api/v1/nodes?format=names",
	"GET /api/v1/nodes?format=inventory",
	"GET /api/v1/nodes?stat=down",
	"GET /api/v1/nodes/web2.example.net",
	"GET /api/v1/nodes/web2.example.net/diff",
	"GET /api/v1/nodes/nobody",
	"GET /api/v1/events",
	"GET /api/v1/events?after=8&limit=5",
	"GET /api/v1/events?limit=0",
	"GET /api/v1/rejected",
	"GET /api/v1/permissions",
	"GET /api/v1/streams",
	"GET /api/v1/fleet?state=up",
	"GET /api/v1/streams?name=CHORIA_EVENTS",
	"GET /api/v1/rejected?by=broker",
	"GET /api/v1/permissions?identity=web1.example.net",
	"GET /api/v1/nodes/web2.example.net?facts=true",
	"GET /api/v1/nothing",
	"GET /api/",
	"POST /api/v1/nodes",
	"DELETE /api/v1/nodes/web2.example.net",
	"GET /readyz",
}

// transcribeRequest sends a request, written as method and path, and returns it with the answer.
func transcribeRequest(t *testing.T, request, server string) string {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(t.Context(), method, server+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	text := fmt.Sprintf("%s\n%s\n%s\n%s", request, response.Status, response.Header.Get("Content-Type"), body)
	for name := range response.Trailer {
		text += name + ": " + response.Trailer.Get(name) + "\n"
	}
	return text
}

// transcribeCommand runs a command line and returns it with all of its output.
func transcribeCommand(t *testing.T, line, server string) string {
	t.Helper()
	text, terminal := strings.CutPrefix(line, onTerminal)
	args := append(strings.Fields(text), "--server", server)
	if terminal {
		return text + "\n" + runOnTerminal(t, args)
	}
	status, out, errOut := muster(t, args...)
	transcript := text + " | cat\n" + out
	for line := range strings.Lines(errOut) {
		transcript += "to standard error: " + line
	}
	return transcript + exitStatus(status)
}

// runOnTerminal runs a command on a terminal and returns what the terminal shows.
func runOnTerminal(t *testing.T, args []string) string {
	t.Helper()
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	shown := make(chan []byte)
	go func() {
		text, _ := io.ReadAll(screen) // ends with EIO on Linux
		shown <- text
	}()
	status := Run(t.Context(), args, terminal, terminal)
	_ = terminal.Close()
	return strings.ReplaceAll(string(<-shown), "\r\n", "\n") + exitStatus(status)
}

func exitStatus(status int) string {
	if status == 0 {
		return ""
	}
	return fmt.Sprintf("exit status: %d\n", status)
}

func TestGolden_Commands(t *testing.T) {
	for name, server := range map[string]string{
		"nodes":       fiveNodes().open(t, ""),
		"empty":       noNodes().open(t, ""),
		"unreachable": "http://127.0.0.1:1",
		"token":       fiveNodes().open(t, "a token that is long enough"),
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, "golden/"+name+".txt", transcribe(t, commandLines, server))
		})
	}
}

func TestGolden_API(t *testing.T) {
	server := fiveNodes().open(t, "")
	var transcript strings.Builder
	for _, request := range requests {
		fmt.Fprintf(&transcript, "%s\n", transcribeRequest(t, request, server))
	}
	compare(t, "golden/api.txt", transcript.String())
}

// times matches times in a transcript, which differ with each run.
var times = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// compare compares a transcript with the file of that name under testdata; with -update it writes
// the file.
func compare(t *testing.T, name, transcript string) {
	t.Helper()
	transcript = times.ReplaceAllString(transcript, "TIME")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(transcript), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	have, want := strings.Split(transcript, "\n"), strings.Split(string(text), "\n")
	for i := range max(len(have), len(want)) {
		if i >= len(have) || i >= len(want) || have[i] != want[i] {
			rest := have[min(i, len(have)-1):min(i+10, len(have))]
			t.Errorf("%s:%d differs (-update writes it anew); have:\n%s", path, i+1, strings.Join(rest, "\n"))
			return
		}
	}
}
