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

// parseSlow parses a request without the fast path.
func parseSlow(raw []byte) (*Message, error) { return parse(raw, parseRequestV1, parseRequestV2) }

// innerLayer finds the inner layer in the text of a layer.
var innerLayer = regexp.MustCompile(`"(?:data|message|request)":"((?:[^"\\]|\\.)*)"`)

// editMessage edits the innermost layer of a capture and keeps the form of the layers around it.
func editMessage(tb testing.TB, file string, edit func(string) string) []byte {
	tb.Helper()
	raw := string(read(tb, file))
	at := innerLayer.FindStringSubmatchIndex(raw)
	secure, err := base64.StdEncoding.DecodeString(raw[at[2]:at[3]])
	if err != nil {
		tb.Fatal(err)
	}
	in := innerLayer.FindStringSubmatchIndex(string(secure))
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

// checkFast reports whether the fast path parses a request, and checks that it gives the result
// of the slow path.
func checkFast(t *testing.T, p *Parser, raw []byte) (fast bool) {
	t.Helper()
	var m Message
	if !p.fastRequest(raw, &m) || m.check() != nil {
		return false
	}
	if want, err := parseSlow(raw); err != nil || !reflect.DeepEqual(&m, want) {
		t.Fatalf("the fast path parsed\n%+v\nthe slow path\n%+v %v\nof %q", m, want, err, raw)
	}
	return true
}

func TestFastRequest_ParsesRegistrations(t *testing.T) {
	var p Parser
	for _, c := range captures(t, "registration") {
		t.Run(c.File, func(t *testing.T) {
			raw := read(t, c.File)
			var m Message
			if !p.fastRequest(raw, &m) {
				t.Fatal("it was not parsed by the fast path")
			}
			want, err := parseSlow(raw)
			if err != nil || !reflect.DeepEqual(&m, want) {
				t.Errorf("have\n%+v\nwant\n%+v %v", m, want, err)
			}
		})
	}
}

func TestFastRequest_LeavesOtherFormsToSlowPath(t *testing.T) {
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
			{`"time":1`, `"time":9`, file == fileV1}, // nanoseconds beyond cursor.number
		} {
			t.Run(file+"/"+edit.to, func(t *testing.T) {
				raw := editMessage(t, file, func(s string) string { return strings.Replace(s, edit.from, edit.to, 1) })
				if fast := checkFast(t, &p, raw); fast != edit.fast {
					t.Errorf("%s to %s: fast is %v", edit.from, edit.to, fast)
				}
			})
		}
	}
}

func TestFastRequest_KeepsBodies(t *testing.T) {
	var p Parser
	for _, body := range []string{
		`{"a":1}`, `"quoted" \ / back`, "tab\tline\nreturn\rbell\bfeed\f", "<html>&amp;</html>",
		"\u2028\u2029 \x7f \x00 \x1f", "ä ö 漢 😀",
		strings.Repeat("x", 7) + `"`, strings.Repeat("x", 8) + `\`, strings.Repeat("x", 15) + "é",
		strings.Repeat("日本", 100), "x",
	} {
		m := &Message{Body: []byte(body), Sender: "web1", Time: time.Unix(1, 5).UTC(), ID: `<"id">`}
		if have, want := m.AppendOutput(nil), marshalOutput(t, m); !bytes.Equal(have, want) {
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
		checkFast(t, &p, raw)
	}
}

// raceDetector is true under -race, which slows down the fast path more than the slow one.
var raceDetector bool

func TestFastRequest_IsFast(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("it runs two benchmarks")
	}
	raw := read(t, fileV1)
	var p Parser
	fast := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			_, _ = p.Request(raw)
		}
	})
	slow := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			_, _ = parseSlow(raw)
		}
	})
	if ratio := float64(slow.NsPerOp()) / float64(fast.NsPerOp()); ratio < 5 {
		t.Errorf("only %.1f times as fast as encoding/json: %s, %s", ratio, fast, slow)
	}
}

func BenchmarkParse(b *testing.B) {
	for name, parse := range map[string]func([]byte) (*Message, error){
		"fast": new(Parser).Request, "encoding-json": parseSlow,
	} {
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

// FuzzFastRequest compares the results of the fast and the slow path.
func FuzzFastRequest(f *testing.F) {
	addCaptures(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p Parser
		checkFast(t, &p, raw)
	})
}

// FuzzFastRequest_Layers mutates the innermost layer: mutations of the base64 around it never
// reach it.
func FuzzFastRequest_Layers(f *testing.F) {
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
		checkFast(t, &p, editMessage(t, file, func(string) string { return string(message) }))
	})
}
