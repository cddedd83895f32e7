package choria

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// built makes a registration of every kind that can be built.
func built(tb testing.TB, each func(name string, r Request, payload, raw []byte)) {
	tb.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Date(2026, 11, 23, 5, 49, 56, 123456789, time.UTC)
	payload := []byte(`{"facts":{"unicode":"Grüße — ✓ <&>"}}`)
	for _, compress := range []bool{true, false} {
		file, err := FileBody("/etc/facts.json", now, true, payload, compress)
		if err != nil {
			tb.Fatal(err)
		}
		inventory, err := InventoryBody(payload, compress)
		if err != nil {
			tb.Fatal(err)
		}
		for kind, body := range map[string][]byte{ContentFile: file, ContentInventory: inventory} {
			r1 := NewRegistration(strings.Repeat("ab", 16), "web1.example.net", "mcollective", now, body)
			r2 := NewRegistration("3MUm9vsAq3ULQszP07b6ebwvV2z", "web1.example.net", "choria", now, body)
			for name, build := range map[string]func() (Request, []byte, error){
				"v1 unsigned": func() (Request, []byte, error) { raw, err := r1.EncodeV1(nil, ""); return r1, raw, err },
				"v1 signed":   func() (Request, []byte, error) { raw, err := r1.EncodeV1(rsaKey, "PEM"); return r1, raw, err },
				"v2 unsigned": func() (Request, []byte, error) { raw, err := r2.EncodeV2(nil, "token"); return r2, raw, err },
				"v2 signed":   func() (Request, []byte, error) { raw, err := r2.EncodeV2(edKey, "token"); return r2, raw, err },
			} {
				r, raw, err := build()
				if err != nil {
					tb.Fatal(err)
				}
				each(fmt.Sprintf("%s %s compressed %v", name, kind, compress), r, payload, raw)
				m, err := parseRequest(raw)
				if err != nil {
					tb.Fatalf("%s: %v", name, err)
				}
				if name == "v1 signed" {
					signature, _ := base64.StdEncoding.DecodeString(m.Proof.Signature)
					digest := sha256.Sum256(m.Proof.Signed)
					if err := rsa.VerifyPKCS1v15(&rsaKey.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
						tb.Errorf("%s: %v", name, err)
					}
				}
				if name == "v2 signed" {
					signature, _ := base64.StdEncoding.DecodeString(m.Proof.Signature)
					if !ed25519.Verify(edKey.Public().(ed25519.PublicKey), m.Proof.Signed, signature) {
						tb.Errorf("%s: signature does not verify", name)
					}
				}
			}
		}
	}
}

func TestWhatIsBuiltParsesBack(t *testing.T) {
	count := 0
	built(t, func(name string, r Request, payload, raw []byte) {
		count++
		m, err := parseRequest(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wantTime := r.Time
		if m.Protocol == V1 {
			wantTime = wantTime.Truncate(time.Second)
		}
		if m.ID != r.ID || m.Sender != r.Sender || m.Caller != r.Caller || m.Collective != r.Collective ||
			m.Agent != r.Agent || !m.Time.Equal(wantTime) || m.TransportSender != r.Sender || !bytes.Equal(m.Body, r.Body) {
			t.Errorf("%s: have %+v, want %+v", name, m, r)
		}
		content, err := Unpack(m.Body, 1<<20)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		have := content.Payload
		if content.Kind == ContentInventory { // an object inside JSON is written with Go's escapes
			have = []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(have)))
		}
		if !bytes.Equal(have, payload) {
			t.Errorf("%s: have %s", name, content.Payload)
		}
	})
	if count != 16 {
		t.Errorf("%d kinds were built, want 16", count)
	}
}

// shape is every key path of a message with the JSON type of its value, in all layers.
func shape(tb testing.TB, raw []byte) []string {
	l := open(tb, raw)
	var paths []string
	var walk func(path string, v any)
	walk = func(path string, v any) {
		paths = append(paths, fmt.Sprintf("%s %T", path, v))
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				walk(path+"."+key, value)
			}
		case []any:
			for _, value := range v {
				walk(path+"[]", value)
			}
		}
	}
	walk("transport", l.transport)
	walk("secure", l.secure)
	walk("message", l.message)
	slices.Sort(paths)
	return slices.Compact(paths)
}

func TestWhatIsBuiltHasTheShapeOfTheCaptures(t *testing.T) {
	of := map[string]string{
		"v1 signed":   fileV1,
		"v1 unsigned": "v1-anon-jwt/registration-file.transport.json",
		"v2 signed":   fileV2,
		"v2 unsigned": fileV2,
	}
	built(t, func(name string, _ Request, _, raw []byte) {
		for prefix, file := range of {
			if strings.HasPrefix(name, prefix) {
				have, want := shape(t, raw), shape(t, read(t, file))
				if !slices.Equal(have, want) {
					t.Errorf("%s: have\n%s\nwant\n%s", name, strings.Join(have, "\n"), strings.Join(want, "\n"))
				}
			}
		}
	})
}

func TestUnsignedLooksAsTheCapturedOne(t *testing.T) {
	capture := open(t, read(t, "v1-anon-jwt/registration-file.transport.json"))
	raw, err := NewRegistration(strings.Repeat("ab", 16), "web1", "mcollective", time.Unix(1, 0), []byte("{}")).EncodeV1(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"pubcert", "signature", "protocol"} {
		if have, want := open(t, raw).secure[key], capture.secure[key]; have != want {
			t.Errorf("%s: have %v, want %v", key, have, want)
		}
	}
}

func TestBodiesHaveTheShapeOfTheCaptures(t *testing.T) {
	now := time.Unix(1795412864, 0)
	for file, build := range map[string]func() ([]byte, error){
		"registration-file":                   func() ([]byte, error) { return FileBody("x", now, false, []byte("{}"), true) },
		"registration-file-uncompressed":      func() ([]byte, error) { return FileBody("x", now, false, []byte("{}"), false) },
		"registration-inventory":              func() ([]byte, error) { return InventoryBody([]byte("{}"), true) },
		"registration-inventory-uncompressed": func() ([]byte, error) { return InventoryBody([]byte("{}"), false) },
	} {
		m, err := parseRequest(read(t, "v1-mtls/"+file+".transport.json"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := build()
		if err != nil {
			t.Fatal(err)
		}
		if have, want := keysOf(t, body), keysOf(t, m.Body); !slices.Equal(have, want) {
			t.Errorf("%s: have %v, want %v", file, have, want)
		}
	}
}

// keysOf are the top keys of a JSON object with the first byte of their values, in order.
func keysOf(tb testing.TB, object []byte) []string {
	tb.Helper()
	var keys []string
	depth, text := 0, string(object)
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := i + 1
			for text[end] != '"' || text[end-1] == '\\' {
				end++
			}
			if depth == 1 && end+1 < len(text) && text[end+1] == ':' {
				first := text[end+2 : end+3]
				if strings.ContainsAny(first, "0123456789") {
					first = "number"
				}
				keys = append(keys, text[i:end+1]+first)
			}
			i = end
		}
	}
	return keys
}
