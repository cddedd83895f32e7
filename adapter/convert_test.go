package adapter_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// isReply reports whether a capture is a reply; every other one is a request.
func isReply(c testkit.Capture) bool { return strings.HasPrefix(c.Subject, "mcollective.reply.") }

func TestConvert_WritesWhatChoriasAdapterWrites(t *testing.T) {
	a := testkit.Appliance(t, allCaptures)
	node := testkit.Connect(t, a)
	captures := testkit.Captures(t, "registration", "transport")
	counts := map[string]uint64{}
	start := time.Now()
	for _, c := range captures {
		if err := node.Publish(c.Subject, testkit.Raw(t, c.File)); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.Kind == "registration":
			counts["registration"]++
			counts["plain"]++
		case isReply(c):
			counts["replies"]++
		}
	}
	for adapter, n := range counts {
		testkit.Settled(t, a, adapter, n)
		if s := a.Stats()[adapter]; s.Stored != n {
			t.Errorf("%s: %d of %d stored: %+v", adapter, s.Stored, n, s)
		}
	}
	js := testkit.JetStream(t, a)
	registrations := storedMessages(t, js, contract.StreamRegistration)
	replies := storedMessages(t, js, "REPLIES")
	wants := map[string][]byte{}
	for _, c := range testkit.Captures(t, "adapter") {
		wants[c.File] = testkit.Raw(t, c.File)
	}
	compared := 0
	for _, c := range captures {
		stored, subject := registrations, contract.SubjectNodeMetadata+c.Decoded.Sender
		if isReply(c) {
			stored, subject = replies, "adapter.replies."+c.Decoded.Sender
		} else if c.Kind != "registration" {
			continue // no adapter reads requests to agents
		}
		t.Run(c.File, func(t *testing.T) {
			m := messageOf(t, stored, c)
			checkHeaders(t, c, m.Headers(), start)
			if m.Subject() != subject {
				t.Errorf("stored on %s, want %s", m.Subject(), subject)
			}
			compareOutput(t, c, m.Data(), wants[outputFile(c)])
		})
		if wants[outputFile(c)] != nil {
			compared++
		}
	}
	if compared < 12 {
		t.Errorf("only %d messages are compared with the output of Choria's adapter", compared)
	}
}

// messageOf returns the stored message of a capture.
func messageOf(t *testing.T, stored map[string]jetstream.Msg, c testkit.Capture) jetstream.Msg {
	t.Helper()
	m := stored[c.Decoded.Sender+"/"+c.Decoded.RequestID]
	if m == nil {
		t.Fatal("the message is not stored")
	}
	return m
}

// outputFile names the capture of what Choria's own adapter wrote for c; it may not exist.
func outputFile(c testkit.Capture) string {
	return strings.TrimSuffix(c.File, ".transport.json") + ".adapter.json"
}

// compareOutput compares a message with the capture's body and, if want is not nil, with what
// Choria's own adapter wrote.
func compareOutput(t *testing.T, c testkit.Capture, have, want []byte) {
	t.Helper()
	var output struct{ Data string }
	if err := json.Unmarshal(have, &output); err != nil || sha([]byte(output.Data)) != c.Decoded.DataSHA256 {
		t.Errorf("the body is not the captured one: %v", err)
	}
	if want != nil && string(have) != string(want) {
		t.Errorf("have\n%s\nwant\n%s", have, want)
	}
}

func checkHeaders(t *testing.T, c testkit.Capture, h nats.Header, start time.Time) {
	t.Helper()
	// A lab has nothing to trust, so it only finds out whether there is a signature.
	verified := contract.ReasonUntrusted
	for _, unsigned := range []string{"v1-anon", "v1-insecure", "v1-mtls/rpc"} {
		if strings.Contains(c.File, unsigned) {
			verified = contract.ReasonUnsigned
		}
	}
	for name, want := range map[string]string{
		contract.HeaderSender:   c.Decoded.Sender,
		contract.HeaderTime:     c.Decoded.Time.Format(time.RFC3339Nano),
		contract.HeaderSite:     "appliance.test",
		contract.HeaderVerified: verified,
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	received, err := time.Parse(time.RFC3339Nano, h.Get(contract.HeaderReceived))
	if err != nil || received.Before(start) || received.After(time.Now()) {
		t.Errorf("%s is %q: %v", contract.HeaderReceived, h.Get(contract.HeaderReceived), err)
	}
	ahead := c.Decoded.Time.Sub(received)
	skew, err := time.ParseDuration(h.Get(contract.HeaderSkew))
	skewed := ahead.Abs() > 10*time.Minute
	if skewed != (err == nil) || skewed && (skew-ahead).Abs() > time.Second {
		t.Errorf("%s is %q; the sender's clock is %s ahead", contract.HeaderSkew, h.Get(contract.HeaderSkew), ahead)
	}
}

func TestConvert_PlainIsTheRegistrationItself(t *testing.T) {
	a := testkit.Appliance(t, allCaptures)
	node := testkit.Connect(t, a)
	captures := testkit.Captures(t, "registration")
	for _, c := range captures {
		if err := node.Publish(c.Subject, testkit.Raw(t, c.File)); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Settled(t, a, "plain", uint64(len(captures)))
	plain := storedMessages(t, testkit.JetStream(t, a), "PLAIN")
	var hashes map[string]string // computed with other tools
	if err := json.Unmarshal(testkit.Raw(t, "unpacked.json"), &hashes); err != nil {
		t.Fatal(err)
	}
	for _, c := range captures {
		t.Run(c.File, func(t *testing.T) {
			m := messageOf(t, plain, c)
			if sha(m.Data()) != hashes[c.File] {
				t.Errorf("have %s", m.Data())
			}
			checkPlainHeaders(t, c, m.Headers())
		})
	}
}

func checkPlainHeaders(t *testing.T, c testkit.Capture, h nats.Header) {
	t.Helper()
	request, err := new(choria.Parser).Request(testkit.Raw(t, c.File))
	if err != nil || sha(request.Body) != c.Decoded.DataSHA256 {
		t.Fatal(err)
	}
	content, err := choria.Unpack(request.Body, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		contract.HeaderRequestID:  c.Decoded.RequestID,
		contract.HeaderCollective: c.Decoded.Collective,
		contract.HeaderContent:    content.Kind,
		contract.HeaderFile:       content.File,
	}
	if content.Kind == choria.ContentFile {
		want[contract.HeaderMtime] = "2026-11-23T05:47:44Z"
	}
	for name, value := range want {
		if h.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, h.Get(name), value)
		}
	}
}

func TestConvert_PlainRejectsWhatUnpacksToTooMuch(t *testing.T) {
	a := testkit.Appliance(t, allCaptures)
	nc := testkit.Connect(t, a)
	body, err := choria.FileBody("/dev/zero", time.Unix(1, 0), false, make([]byte, 64<<20), true)
	if err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("0", 32)
	raw, err := choria.NewRegistration(id, "web1", "mcollective", time.Now(), body).EncodeV1(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish(testkit.Subject, raw); err != nil {
		t.Fatal(err)
	}
	testkit.Settled(t, a, "plain", 1)
	if s := a.Stats()["plain"]; s.Rejected[contract.ReasonTooLarge] != 1 {
		t.Errorf("have %+v", s)
	}
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestCaptures_AreAllInTheIndex(t *testing.T) {
	known := map[string]bool{}
	for _, c := range testkit.Captures(t, "registration", "transport", "hostile", "adapter", "stream") {
		known[c.File] = true
	}
	files, err := filepath.Glob("../internal/choria/testdata/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		if !known[name] {
			t.Errorf("%s is not tested", name)
		}
	}
}
