package cli

import (
	"context"
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

var update = flag.Bool("update", false, "write what commands print and the API answers into testdata/golden")

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

// pages are what the transcript of the API is of.
var pages = []string{
	"GET /api/v1/fleet", "GET /api/v1/nodes", "GET /api/v1/nodes?state=down&format=jsonl", "GET /api/v1/nodes?format=csv", "GET /api/v1/nodes?format=names",
	"GET /api/v1/nodes?format=inventory", "GET /api/v1/nodes?stat=down", "GET /api/v1/nodes/web2.example.net", "GET /api/v1/nodes/web2.example.net/diff",
	"GET /api/v1/nodes/nobody", "GET /api/v1/events", "GET /api/v1/events?after=8&limit=5", "GET /api/v1/events?limit=0", "GET /api/v1/rejected", "GET /api/v1/streams",
	"GET /api/v1/fleet?state=up", "GET /api/v1/streams?name=CHORIA_EVENTS", "GET /api/v1/rejected?by=broker", "GET /api/v1/nodes/web2.example.net?facts=true",
	"GET /api/v1/nothing", "GET /api/", "POST /api/v1/nodes", "DELETE /api/v1/nodes/web2.example.net", "GET /readyz",
}

// answered asks for a page, and gives all that comes.
func answered(t *testing.T, page, server string) string {
	t.Helper()
	method, path, _ := strings.Cut(page, " ")
	request, err := http.NewRequestWithContext(t.Context(), method, server+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	text := fmt.Sprintf("%s\n%s\n%s\n%s", page, response.Status, response.Header.Get("Content-Type"), body)
	for name := range response.Trailer {
		text += name + ": " + response.Trailer.Get(name) + "\n"
	}
	return text
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

func TestAWatchedListIsDrawnAgainFromTheTop(t *testing.T) {
	t.Parallel()
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"nodes", "--watch", "--state", "down", "--server", fourNodes().open(t, "")}, terminal, terminal)
		_ = terminal.Close()
	}()
	text, drawn := make([]byte, 4096), ""
	for strings.Count(drawn, "\x1b[H\x1b[2JNODE") < 2 {
		n, err := screen.Read(text)
		if err != nil {
			t.Fatalf("%v after %q", err, drawn)
		}
		drawn += string(text[:n])
	}
	cancel()
	if status := <-done; status != 0 || strings.Count(drawn, "db1.example.net") < 1 || strings.Contains(drawn, "web2") {
		t.Errorf("%d %q", status, drawn)
	}
	if status, _, errOut := muster(t, "nodes", "--watch"); status != 2 || !strings.Contains(errOut, "--watch needs a terminal") {
		t.Errorf("%d %s", status, errOut)
	}
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
		"nodes": fourNodes().open(t, ""), "empty": noNodes().open(t, ""), "unreachable": nobody, "token": fourNodes().open(t, token),
	} {
		var transcript strings.Builder
		for _, line := range commandLines {
			fmt.Fprintf(&transcript, "$ muster %s\n", strings.ReplaceAll(shown(t, line, server), server, "http://CONSOLE"))
		}
		compare(t, "golden/"+name+".txt", transcript.String())
	}
}

func TestWhatTheAPIAnswers(t *testing.T) {
	server := fourNodes().open(t, "")
	var transcript strings.Builder
	for _, page := range pages {
		fmt.Fprintf(&transcript, "%s\n", answered(t, page, server))
	}
	compare(t, "golden/api.txt", transcript.String())
}

// compare holds a transcript against the one that is kept under testdata, or keeps it.
func compare(t *testing.T, name, transcript string) {
	t.Helper()
	transcript = times.ReplaceAllString(transcript, "TIME")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(transcript), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	have, wanted := strings.Split(transcript, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(have), len(wanted)) {
		if i >= len(have) || i >= len(wanted) || have[i] != wanted[i] {
			t.Errorf("%s:%d: otherwise than there:\n%s", path, i+1, strings.Join(have[min(i, len(have)-1):min(i+10, len(have))], "\n"))
			return
		}
	}
}
