package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/creack/pty"
)

func TestNodes_WatchRedrawsFromTheTop(t *testing.T) {
	t.Parallel()
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	server := fiveNodes().open(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, []string{"nodes", "--watch", "--state", "down", "--server", server}, terminal, terminal)
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
}

func TestNodes_UsageErrors(t *testing.T) {
	for args, want := range map[string]string{
		"--watch":       "--watch needs a terminal",
		"--limit 10001": "--limit 10001: want 1 to 10000, or 0",
		"--state=":      "--state must not be empty",
		"--format xml":  `--format "xml": want one of [table json jsonl csv names flatfile inventory]`,
		"--json --csv":  "--json and --csv",
	} {
		t.Run(args, func(t *testing.T) {
			status, _, errOut := muster(t, append([]string{"nodes"}, strings.Fields(args)...)...)
			if status != 2 || !strings.Contains(errOut, want) {
				t.Errorf("%d %s; want %s", status, errOut, want)
			}
		})
	}
}
