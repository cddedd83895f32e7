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

// encodeAll encodes a registration of every kind and calls each with it.
func encodeAll(tb testing.TB, each func(name string, r Request, payload, raw []byte)) {
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
			for name, encode := range map[string]func() (Request, []byte, error){
				"v1 unsigned": func() (Request, []byte, error) { raw, err := r1.EncodeV1(nil, ""); return r1, raw, err },
				"v1 signed":   func() (Request, []byte, error) { raw, err := r1.EncodeV1(rsaKey, "PEM"); return r1, raw, err },
				"v2 unsigned": func() (Request, []byte, error) { raw, err := r2.EncodeV2(nil, "token"); return r2, raw, err },
				"v2 signed":   func() (Request, []byte, error) { raw, err := r2.EncodeV2(edKey, "token"); return r2, raw, err },
			} {
				r, raw, err := encode()
				if err != nil {
					tb.Fatal(err)
				}
				each(fmt.Sprintf("%s %s compressed %v", name, kind, compress), r, payload, raw)
				checkSignature(tb, name, raw, &rsaKey.PublicKey, edKey.Public().(ed25519.PublicKey))
			}
		}
	}
}

// checkSignature checks the signature of a signed request.
func checkSignature(tb testing.TB, name string, raw []byte, rsaKey *rsa.PublicKey, edKey ed25519.PublicKey) {
	tb.Helper()
	m, err := parseRequest(raw)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	signature, _ := base64.StdEncoding.DecodeString(m.Proof.Signature)
	if name == "v1 signed" {
		digest := sha256.Sum256(m.Proof.Signed)
		if err := rsa.VerifyPKCS1v15(rsaKey, crypto.SHA256, digest[:], signature); err != nil {
			tb.Errorf("%s: %v", name, err)
		}
	}
	if name == "v2 signed" && !ed25519.Verify(edKey, m.Proof.Signed, signature) {
		tb.Errorf("%s: the signature does not verify", name)
	}
}

func TestRequest_ParsesBack(t *testing.T) {
	count := 0
	encodeAll(t, func(name string, r Request, payload, raw []byte) {
		count++
		t.Run(name, func(t *testing.T) {
			m, err := parseRequest(raw)
			if err != nil {
				t.Fatal(err)
			}
			wantTime := r.Time
			if m.Protocol == V1 {
				wantTime = wantTime.Truncate(time.Second)
			}
			if m.ID != r.ID || m.Sender != r.Sender || m.Caller != r.Caller || m.Collective != r.Collective ||
				m.Agent != r.Agent || !m.Time.Equal(wantTime) || m.TransportSender != r.Sender || !bytes.Equal(m.Body, r.Body) {
				t.Errorf("have %+v, want %+v", m, r)
			}
			content, err := Unpack(m.Body, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			have := content.Payload
			if content.Kind == ContentInventory { // encoding/json escapes an object for HTML
				have = []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(have)))
			}
			if !bytes.Equal(have, payload) {
				t.Errorf("have %s, want %s", content.Payload, payload)
			}
		})
	})
	if count != 16 {
		t.Errorf("%d kinds were encoded, want 16", count)
	}
}

// shape returns every key path in all layers of a message, with the type of its value.
func shape(tb testing.TB, raw []byte) []string {
	l := openLayers(tb, raw)
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

func TestRequest_HasShapeOfCaptures(t *testing.T) {
	files := map[string]string{
		"v1 signed":   fileV1,
		"v1 unsigned": "v1-anon-jwt/registration-file.transport.json",
		"v2 signed":   fileV2,
		"v2 unsigned": fileV2,
	}
	encodeAll(t, func(name string, _ Request, _, raw []byte) {
		for prefix, file := range files {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				have, want := shape(t, raw), shape(t, read(t, file))
				if !slices.Equal(have, want) {
					t.Errorf("have\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
				}
			})
		}
	})
}

func TestRequest_UnsignedMatchesCapture(t *testing.T) {
	capture := openLayers(t, read(t, "v1-anon-jwt/registration-file.transport.json"))
	r := NewRegistration(strings.Repeat("ab", 16), "web1", "mcollective", time.Unix(1, 0), []byte("{}"))
	raw, err := r.EncodeV1(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"pubcert", "signature", "protocol"} {
		if have, want := openLayers(t, raw).secure[key], capture.secure[key]; have != want {
			t.Errorf("%s: have %v, want %v", key, have, want)
		}
	}
}
