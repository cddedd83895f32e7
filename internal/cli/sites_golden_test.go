package cli

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// edgeCommandLines are run for the transcript of an edge in testdata/golden.
var edgeCommandLines = []string{
	onTerminal + "status",
	"status --json",
	"check health",
	"check health --format text --disconnected 86400,90000 --lag 60,1000",
	"check health --format json --disconnected= --lag=",
}

// hubCommandLines are run for the transcript of a hub in testdata/golden.
var hubCommandLines = []string{
	onTerminal + "sites",
	"sites",
	"sites --json",
	"sites --csv",
	onTerminal + "sites ams",
	onTerminal + "sites fra",
	onTerminal + "sites lab",
	"sites nyc",
	onTerminal + "sites sin",
	"sites sin --json",
	"sites nowhere",
	onTerminal + "status",
	onTerminal + "fleet",
	onTerminal + "nodes",
	onTerminal + "nodes --site fra",
	"nodes",
	onTerminal + "node web2.example.net",
	onTerminal + "node web2.example.net --site fra",
	onTerminal + "node web5.example.net",
	"node web5.example.net --site fra",
	"node web2.example.net --site fra --diff",
	onTerminal + "events",
	"check health",
	"check health --format text --dropped= --rejected= --sites 2,50 --lag 2,100",
}

// hubRequests are sent for the transcript of a hub.
var hubRequests = []string{
	"GET /api/v1/sites",
	"GET /api/v1/sites/nyc",
	"GET /api/v1/sites/nowhere",
	"GET /api/v1/sites?state=up",
	"GET /api/v1/nodes?site=fra&format=jsonl",
	"GET /api/v1/nodes?site=nyc&format=csv",
	"GET /api/v1/nodes/web2.example.net",
	"GET /api/v1/nodes/web2.example.net?site=fra",
	"GET /api/v1/nodes/web2.example.net/diff",
	"GET /api/v1/nodes/web2.example.net?site=fra&site=ams",
	"GET /api/v1/nodes/web5.example.net?site=fra",
}

func TestGolden_Hub(t *testing.T) {
	server := aHub().open(t, "")
	transcript := transcribe(t, hubCommandLines, server)
	for _, request := range hubRequests {
		transcript += transcribeRequest(t, request, server) + "\n"
	}
	compare(t, "golden/hub.txt", transcript)
}

func TestGolden_Edge(t *testing.T) {
	server := anEdge().open(t, "")
	transcript := transcribeRequest(t, "GET /api/v1/forward", server) + "\n"
	transcript += transcribe(t, edgeCommandLines, server)
	transcript = regexp.MustCompile(`disconnected=78\d\d;|"value":78\d\d\b`).ReplaceAllString(transcript, "SECONDS")
	compare(t, "golden/edge.txt", transcript)
}

// transcribe runs command lines and returns them with their output.
func transcribe(t *testing.T, lines []string, server string) string {
	t.Helper()
	var transcript strings.Builder
	for _, line := range lines {
		text := strings.ReplaceAll(transcribeCommand(t, line, server), server, "http://CONSOLE")
		fmt.Fprintf(&transcript, "$ muster %s\n", text)
	}
	return transcript.String()
}
