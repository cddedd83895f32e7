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
	"github.com/muster-appliance/muster/internal/testkit"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// every is an appliance that takes all captures: registrations to two custom targets and
// in a provisioning collective too, and replies, in both formats.
const every = `
[adapter.registration.ingest]
topic = ["*.broadcast.agent.registration", "cmdb.registration.*", "provisioning.registration.data"]

[adapter.replies]
ingest = {topic = "mcollective.reply.>", protocol = "reply"}
stream = {topic = "adapter.replies.%s"}

[adapter.plain]
ingest = {topic = ["*.broadcast.agent.registration", "cmdb.registration.*", "provisioning.registration.data"], protocol = "request"}
stream = {topic = "plain.%s", format = "plain"}

[stream.CHORIA_REGISTRATION]
max_msgs_per_subject = 100
[stream.REPLIES]
subjects = "adapter.replies.>"
max_bytes = "1MiB"
[stream.PLAIN]
subjects = "plain.>"
max_bytes = "1MiB"
`

// stored is what a stream has, by the request id and sender of its message id.
func stored(t *testing.T, js jetstream.JetStream, stream string) map[string]jetstream.Msg {
	t.Helper()
	all := map[string]jetstream.Msg{}
	for _, m := range testkit.Messages(t, js, stream) {
		_, key, _ := strings.Cut(m.Headers().Get("Nats-Msg-Id"), "/")
		if all[key] != nil {
			t.Errorf("%s holds %s twice", stream, key)
		}
		all[key] = m
	}
	return all
}

func TestCapturesComeOutAsChoriasAdapterWroteThem(t *testing.T) {
	a := testkit.Appliance(t, every)
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
		case strings.HasPrefix(c.Subject, "mcollective.reply."):
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
	registrations := stored(t, js, "CHORIA_REGISTRATION")
	replies := stored(t, js, "REPLIES")
	compared := 0
	for _, c := range captures {
		key := c.Decoded.Sender + "/" + c.Decoded.RequestID
		from, subject := registrations, "choria.node_metadata."+c.Decoded.Sender
		if strings.HasPrefix(c.Subject, "mcollective.reply.") {
			from, subject = replies, "adapter.replies."+c.Decoded.Sender
		} else if c.Kind != "registration" {
			continue // requests to agents are nobody's business
		}
		m := from[key]
		if m == nil {
			t.Errorf("%s is not stored", c.File)
			continue
		}
		checkHeaders(t, c, m.Headers(), start)
		if m.Subject() != subject {
			t.Errorf("%s: stored on %s, want %s", c.File, m.Subject(), subject)
		}
		compared += compare(t, c, m.Data())
	}
	if compared < 12 {
		t.Errorf("only %d messages were compared with the output of Choria's adapter", compared)
	}
}

// compare holds a message against what Choria's own adapter wrote, where that was captured.
func compare(t *testing.T, c testkit.Capture, data []byte) int {
	t.Helper()
	var output struct{ Data string }
	if err := json.Unmarshal(data, &output); err != nil || sha([]byte(output.Data)) != c.Decoded.DataSHA256 {
		t.Errorf("%s: the body is not the captured one: %v", c.File, err)
	}
	for _, a := range testkit.Captures(t, "adapter") {
		if strings.TrimSuffix(a.File, ".adapter.json") == strings.TrimSuffix(c.File, ".transport.json") {
			if want := testkit.Raw(t, a.File); string(data) != string(want) {
				t.Errorf("%s: have\n%s\nwant\n%s", c.File, data, want)
			}
			return 1
		}
	}
	return 0
}

func checkHeaders(t *testing.T, c testkit.Capture, h nats.Header, start time.Time) {
	t.Helper()
	for name, want := range map[string]string{
		"Muster-Sender": c.Decoded.Sender,
		"Muster-Time":   c.Decoded.Time.Format(time.RFC3339Nano),
		"Muster-Site":   "appliance.test",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %s is %q, want %q", c.File, name, h.Get(name), want)
		}
	}
	// A lab trusts nobody, so it can only tell whether there is a signature.
	unsigned := strings.HasPrefix(c.File, "v1-anon") || strings.HasPrefix(c.File, "v1-insecure") || strings.Contains(c.File, "v1-mtls/rpc")
	if want := map[bool]string{true: "unsigned", false: "untrusted"}[unsigned]; h.Get("Muster-Verified") != want {
		t.Errorf("%s: Muster-Verified is %q, want %q", c.File, h.Get("Muster-Verified"), want)
	}
	received, err := time.Parse(time.RFC3339Nano, h.Get("Muster-Received"))
	if err != nil || received.Before(start) || received.After(time.Now()) {
		t.Errorf("%s: Muster-Received is %q: %v", c.File, h.Get("Muster-Received"), err)
	}
	ahead := c.Decoded.Time.Sub(received)
	skew, err := time.ParseDuration(h.Get("Muster-Skew"))
	if skewed := ahead.Abs() > 10*time.Minute; skewed != (err == nil) || skewed && (skew-ahead).Abs() > time.Second {
		t.Errorf("%s: Muster-Skew is %q, the sender is %s ahead", c.File, h.Get("Muster-Skew"), ahead)
	}
}

func TestPlainIsTheRegistrationItself(t *testing.T) {
	a := testkit.Appliance(t, every)
	node := testkit.Connect(t, a)
	captures := testkit.Captures(t, "registration")
	for _, c := range captures {
		if err := node.Publish(c.Subject, testkit.Raw(t, c.File)); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Settled(t, a, "plain", uint64(len(captures)))
	plain := stored(t, testkit.JetStream(t, a), "PLAIN")
	var hashes map[string]string // computed with other tools
	if err := json.Unmarshal(testkit.Raw(t, "unpacked.json"), &hashes); err != nil {
		t.Fatal(err)
	}
	for _, c := range captures {
		m := plain[c.Decoded.Sender+"/"+c.Decoded.RequestID]
		if m == nil {
			t.Errorf("%s is not stored", c.File)
			continue
		}
		parsed, err := new(choria.Parser).Request(testkit.Raw(t, c.File))
		if err != nil || sha(parsed.Body) != c.Decoded.DataSHA256 {
			t.Fatalf("%s: %v", c.File, err)
		}
		content, err := choria.Unpack(parsed.Body, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if sha(m.Data()) != hashes[c.File] {
			t.Errorf("%s: have %s", c.File, m.Data())
		}
		want := map[string]string{
			"Muster-Request-Id": c.Decoded.RequestID,
			"Muster-Collective": c.Decoded.Collective,
			"Muster-Content":    content.Kind,
			"Muster-File":       content.File,
		}
		if content.Kind == choria.ContentFile {
			want["Muster-Mtime"] = "2026-11-23T05:47:44Z"
		}
		for name, value := range want {
			if m.Headers().Get(name) != value {
				t.Errorf("%s: %s is %q, want %q", c.File, name, m.Headers().Get(name), value)
			}
		}
	}
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestEveryCaptureFileIsInTheIndex(t *testing.T) {
	known := map[string]bool{}
	for _, c := range testkit.Captures(t, "registration", "transport", "hostile", "adapter") {
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
