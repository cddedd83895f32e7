package choria

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// capture is one line of testdata/expected.json: a message from a real Choria server and
// what a program that shares no code with us decoded it to.
type capture struct {
	File    string
	Kind    string
	Subject string
	Decoded struct {
		Agent, Caller, Collective, Protocol, Sender string
		MessageProtocol                             string `json:"message_protocol"`
		RequestID                                   string
		DataSHA256                                  string `json:"data_sha256"`
		Time                                        time.Time
		TransportHeaders                            map[string]any `json:"transport_headers"`
	}
	Adapter struct {
		Protocol, Sender, RequestID string
		Time                        time.Time
	}
	DataSHA256 string `json:"data_sha256"`
}

func (c capture) reply() bool {
	return strings.HasSuffix(c.Decoded.MessageProtocol, "reply") || strings.HasSuffix(c.Decoded.MessageProtocol, "reply:1")
}

func (c capture) parse(raw []byte) (*Message, error) {
	if c.reply() {
		return parseReply(raw)
	}
	return parseRequest(raw)
}

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// captures are the transports of the given kinds that stand in testdata.
func captures(tb testing.TB, kinds ...string) []capture {
	tb.Helper()
	var all, wanted []capture
	if err := json.Unmarshal(read(tb, "expected.json"), &all); err != nil {
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

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestEveryCaptureDecodesToWhatIsExpected(t *testing.T) {
	for _, c := range captures(t, "registration", "transport") {
		m, err := c.parse(read(t, c.File))
		if err != nil {
			t.Errorf("%s: %v", c.File, err)
			continue
		}
		want := c.Decoded
		protocol := map[string]Protocol{transportV1: V1, transportV2: V2}[want.Protocol]
		sender, _ := want.TransportHeaders["mc_sender"].(string)
		if protocol == V2 {
			sender, _ = want.TransportHeaders["sender"].(string)
		}
		have := []any{m.Protocol, m.ID, m.Sender, m.Caller, m.Collective, m.Agent, m.TransportSender, sha(m.Body)}
		expected := []any{protocol, want.RequestID, want.Sender, want.Caller, want.Collective, want.Agent, sender, want.DataSHA256}
		for i := range have {
			if have[i] != expected[i] {
				t.Errorf("%s: have %v, want %v", c.File, have[i], expected[i])
			}
		}
		if !m.Time.Equal(want.Time) {
			t.Errorf("%s: time %s, want %s", c.File, m.Time, want.Time)
		}
	}
}

func TestAdapterOutputIsThatOfChoriasAdapter(t *testing.T) {
	for _, c := range captures(t, "adapter") {
		name := strings.TrimSuffix(c.File, ".adapter.json")
		parse := parseRequest
		if strings.Contains(name, "reply") {
			parse = parseReply
		}
		m, err := parse(read(t, name+".transport.json"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		have := m.AppendOutput(nil)
		if want := read(t, c.File); string(have) != string(want) {
			t.Errorf("%s: have\n%s\nwant\n%s", name, have, want)
		}
	}
}

// TestUnpackGivesWhatTheNodeRegistered compares with hashes that were computed from the
// captures with other tools: base64 -d, gunzip, sha256sum.
func TestUnpackGivesWhatTheNodeRegistered(t *testing.T) {
	var hashes map[string]string
	if err := json.Unmarshal(read(t, "unpacked.json"), &hashes); err != nil {
		t.Fatal(err)
	}
	for _, c := range captures(t, "registration") {
		m, err := parseRequest(read(t, c.File))
		if err != nil {
			t.Fatal(err)
		}
		content, err := Unpack(m.Body, 1<<20)
		if err != nil {
			t.Errorf("%s: %v", c.File, err)
			continue
		}
		if have := sha(content.Payload); have != hashes[c.File] {
			t.Errorf("%s: %s", c.File, have)
		}
		inventory := strings.Contains(c.File, "inventory")
		if inventory != (content.Kind == ContentInventory) {
			t.Errorf("%s: kind %s", c.File, content.Kind)
		}
		if !inventory && (content.File != "../shared/inventory.json" || content.Mtime.Unix() != 1795412864) {
			t.Errorf("%s: file %q, written %s", c.File, content.File, content.Mtime)
		}
	}
}
