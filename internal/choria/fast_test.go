package choria

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// slow reads a request without the short way.
func slow(raw []byte) (*Message, error) { return parse(raw, parseRequestV1, parseRequestV2) }

// slowOutput is the adapter's output as encoding/json writes it.
func slowOutput(tb testing.TB, m *Message) []byte {
	tb.Helper()
	text, err := json.Marshal(struct {
		Protocol string    `json:"protocol"`
		Data     string    `json:"data"`
		Sender   string    `json:"sender"`
		Time     time.Time `json:"time"`
		ID       string    `json:"requestid"`
	}{outputProtocol, string(m.Body), m.Sender, m.Time, m.ID})
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func TestRegistrationsGoTheShortWay(t *testing.T) {
	var p Parser
	for _, c := range captures(t, "registration") {
		raw := read(t, c.File)
		var m Message
		if !p.fastRequest(raw, &m) {
			t.Errorf("%s goes the long way", c.File)
			continue
		}
		want, err := slow(raw)
		if err != nil || !reflect.DeepEqual(&m, want) {
			t.Errorf("%s: have\n%+v\nwant\n%+v %v", c.File, m, want, err)
		}
	}
}

// inside is where the layer below stands in a layer's text.
var inside = regexp.MustCompile(`"(?:data|message|request)":"((?:[^"\\]|\\.)*)"`)

// reform edits the innermost layer of a capture, and leaves the form of those around it.
func reform(tb testing.TB, file string, edit func(string) string) []byte {
	tb.Helper()
	raw := string(read(tb, file))
	at := inside.FindStringSubmatchIndex(raw)
	secure, err := base64.StdEncoding.DecodeString(raw[at[2]:at[3]])
	if err != nil {
		tb.Fatal(err)
	}
	in := inside.FindStringSubmatchIndex(string(secure))
	text := secure[in[2]:in[3]]
	if file == fileV2 {
		request, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil {
			tb.Fatal(err)
		}
		text = []byte(base64.StdEncoding.EncodeToString([]byte(edit(string(request)))))
	} else {
		var request string
		if err := json.Unmarshal(fmt.Appendf(nil, `"%s"`, text), &request); err != nil {
			tb.Fatal(err)
		}
		quoted, err := json.Marshal(edit(request))
		if err != nil {
			tb.Fatal(err)
		}
		text = quoted[1 : len(quoted)-1]
	}
	secure = slices.Concat(secure[:in[2]], text, secure[in[3]:])
	return []byte(raw[:at[2]] + base64.StdEncoding.EncodeToString(secure) + raw[at[3]:])
}

// same holds the short way against the long one.
func same(t *testing.T, p *Parser, raw []byte) (fast bool) {
	t.Helper()
	var m Message
	if !p.fastRequest(raw, &m) || m.check() != nil {
		return false
	}
	if want, err := slow(raw); err != nil || !reflect.DeepEqual(&m, want) {
		t.Fatalf("the short way reads\n%+v\nthe long way\n%+v %v\nof %q", m, want, err, raw)
	}
	return true
}

func TestWhatDiffersGoesTheLongWayAndIsReadTheSame(t *testing.T) {
	var p Parser
	for _, file := range []string{fileV1, fileV2} {
		for _, edit := range []struct {
			from, to string
			fast     bool
		}{
			{"", "", true},
			{`"agent":"registration"`, `"agent":"r\u0065gistration"`, false},
			{`"agent":"registration"`, `"agent": "registration"`, false},
			{`"agent":"registration"`, `"agent":"régistration"`, false},
			{`"agent":"registration"`, `"agent":""`, file == fileV1},
			{`"ttl":60`, `"ttl":59`, true},
			{`"ttl":60`, `"ttl":060`, false},
			{`"ttl":60`, `"ttl":6e1`, false},
			{`"ttl":60`, `"ttl":-60`, false},
			{`"ttl":60`, `"ttl":29`, file == fileV2},
			{`"ttl":60`, `"ttl":0`, false},
			{`"ttl":60`, `"ttl":99999999999999999999`, false},
			{`"ttl":60`, `"ttl":8999999999999999999`, true},
			{`"ttl":60`, `"ttl":60,"ttl":61`, false},
			{`"cf_class":[]`, `"cf_class":["a"]`, false},
			{`"sender`, `"Sender`, false},
			{`{"protocol"`, ` {"protocol"`, false},
			{`"time":1`, `"time":9`, file == fileV1}, // in nanoseconds beyond what the short way reads
		} {
			raw := reform(t, file, func(s string) string { return strings.Replace(s, edit.from, edit.to, 1) })
			if fast := same(t, &p, raw); fast != edit.fast {
				t.Errorf("%s: %s to %s: fast is %v", file, edit.from, edit.to, fast)
			}
		}
	}
}

func TestBodiesOfAllKindsComeThroughUnharmed(t *testing.T) {
	var p Parser
	for _, body := range []string{
		`{"a":1}`, `"quoted" \ / back`, "tab\tline\nreturn\rbell\bfeed\f", "<html>&amp;</html>", "\u2028\u2029 \x7f \x00 \x1f", "ä ö 漢 😀",
		strings.Repeat("x", 7) + `"`, strings.Repeat("x", 8) + `\`, strings.Repeat("x", 15) + "é", strings.Repeat("日本", 100), "x",
	} {
		m := &Message{Body: []byte(body), Sender: "web1", Time: time.Unix(1, 5).UTC(), ID: `<"id">`}
		if have, want := m.AppendOutput(nil), slowOutput(t, m); !bytes.Equal(have, want) {
			t.Errorf("have %s\nwant %s", have, want)
		}
		r := NewRegistration(strings.Repeat("0", 32), "web1", "mcollective", time.Unix(1, 0), []byte(body))
		raw, err := r.EncodeV1(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		m, err = p.Request(raw)
		if err != nil || string(m.Body) != body {
			t.Errorf("%q comes out as %q: %v", body, m.Body, err)
		}
		same(t, &p, raw)
	}
}

func TestALargeMessageIsNotKept(t *testing.T) {
	var p Parser
	r := NewRegistration(strings.Repeat("0", 32), "web1", "mcollective", time.Unix(1, 0), make([]byte, maxKept))
	raw, err := r.EncodeV1(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{raw, read(t, fileV1)} {
		if _, err := p.Request(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, buffer := range [][]byte{p.secure, p.signed, p.certificate, p.body} {
		if cap(buffer) > maxKept {
			t.Errorf("%d bytes are kept", cap(buffer))
		}
	}
}

func TestParsingTakesFewAllocations(t *testing.T) {
	for _, file := range []string{fileV1, fileV2} {
		raw := read(t, file)
		var p Parser
		if n := testing.AllocsPerRun(100, func() { _, _ = p.Request(raw) }); n > 8 {
			t.Errorf("%s: %.0f allocations", file, n)
		}
	}
}

// raceDetector is true where it slows down one way more than the other.
var raceDetector bool

func TestTheShortWayIsShort(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("two benchmarks")
	}
	raw := read(t, fileV1)
	var p Parser
	fast := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			_, _ = p.Request(raw)
		}
	})
	long := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			_, _ = slow(raw)
		}
	})
	if ratio := float64(long.NsPerOp()) / float64(fast.NsPerOp()); ratio < 5 {
		t.Errorf("only %.1f times as fast: %s, %s", ratio, fast, long)
	}
}

func BenchmarkParse(b *testing.B) {
	for name, parse := range map[string]func([]byte) (*Message, error){"fast": new(Parser).Request, "encoding-json": slow} {
		for version, file := range map[string]string{"1": fileV1, "2": fileV2} {
			b.Run(name+"/"+version, func(b *testing.B) {
				raw := read(b, file)
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for range b.N {
					if _, err := parse(raw); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func FuzzBothWaysReadTheSame(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p Parser
		same(t, &p, raw)
	})
}

// FuzzBothWaysReadTheSameLayers mutates the inner layers, which mutating the base64 around
// them never reaches.
func FuzzBothWaysReadTheSameLayers(f *testing.F) {
	for _, file := range []string{fileV1, fileV2} {
		m, err := parseRequest(read(f, file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(m.Proof.Signed), file == fileV2)
	}
	f.Fuzz(func(t *testing.T, message []byte, v2 bool) {
		file := fileV1
		if v2 {
			file = fileV2
		}
		var p Parser
		same(t, &p, reform(t, file, func(string) string { return string(message) }))
	})
}
