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
