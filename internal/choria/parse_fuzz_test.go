package choria

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// addCaptures adds every capture to the seed corpus.
func addCaptures(f *testing.F) {
	for _, c := range captures(f, "registration", "transport", "hostile") {
		f.Add(read(f, c.File))
	}
}

// checkParsed checks the promises of Message.
func checkParsed(t *testing.T, m *Message, err error) {
	if err != nil {
		if m != nil || Reason(err) == "" {
			t.Fatalf("message and error: %v", err)
		}
		return
	}
	if CheckSender(m.Sender) != nil || checkID(m.ID) != nil || !utf8.Valid(m.Body) {
		t.Fatalf("accepted: %+v", m)
	}
	if y := m.Time.Year(); y < 1970 || y > 9999 {
		t.Fatalf("time %s", m.Time)
	}
	if have, want := m.AppendOutput(nil), marshalOutput(t, m); !bytes.Equal(have, want) {
		t.Fatalf("have\n%s\nwant\n%s", have, want)
	}
	if c, err := Unpack(m.Body, 1<<20); err == nil && len(c.Payload) > 1<<20 && c.Kind != ContentBody {
		t.Fatalf("unpacked to %d bytes", len(c.Payload))
	}
}

func FuzzParser_Request(f *testing.F) {
	addCaptures(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseRequest(raw)
		checkParsed(t, m, err)
	})
}

func FuzzParser_Reply(f *testing.F) {
	addCaptures(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseReply(raw)
		checkParsed(t, m, err)
	})
}

// FuzzParser_Layers mutates the innermost layer: mutations of the base64 around it never reach it.
func FuzzParser_Layers(f *testing.F) {
	for _, file := range []string{fileV1, fileV2} {
		m, err := parseRequest(read(f, file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Proof.Signed, file == fileV2)
	}
	f.Fuzz(func(t *testing.T, message []byte, v2 bool) {
		file := fileV1
		if v2 {
			file = fileV2
		}
		l := openLayers(t, read(t, file))
		raw := l.encode(t, func(string) string { return string(message) })
		m, err := parseRequest(raw)
		checkParsed(t, m, err)
	})
}
