package testkit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Capture is a message that a real Choria process sent, with what it decodes to.
type Capture struct {
	File    string
	Kind    string // registration, transport, adapter, hostile, submission or stream
	Subject string
	Reply   string
	Headers nats.Header
	Decoded struct {
		Sender          string
		RequestID       string
		Collective      string
		Time            time.Time
		MessageProtocol string `json:"message_protocol"`
		DataSHA256      string `json:"data_sha256"`
	}
}

// captureDir returns the directory of the captures, which the package choria decodes.
func captureDir() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "choria", "testdata")
}

// Captures returns the captured messages of the given kinds.
func Captures(tb testing.TB, kinds ...string) []Capture {
	tb.Helper()
	var all, wanted []Capture
	if err := json.Unmarshal(Raw(tb, "expected.json"), &all); err != nil {
		tb.Fatal(err)
	}
	for _, c := range all {
		for _, kind := range kinds {
			if c.Kind == kind {
				wanted = append(wanted, c)
			}
		}
	}
	if len(wanted) == 0 {
		tb.Fatalf("no captures of %v", kinds)
	}
	return wanted
}

// Raw returns the content of a file of the captures.
func Raw(tb testing.TB, file string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join(captureDir(), file))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}
