package choria

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestUnpack_Captures compares with hashes that other tools computed from the captures: base64 -d,
// gunzip, sha256sum.
func TestUnpack_Captures(t *testing.T) {
	var hashes map[string]string
	if err := json.Unmarshal(read(t, "unpacked.json"), &hashes); err != nil {
		t.Fatal(err)
	}
	for _, c := range captures(t, "registration") {
		t.Run(c.File, func(t *testing.T) {
			m, err := parseRequest(read(t, c.File))
			if err != nil {
				t.Fatal(err)
			}
			content, err := Unpack(m.Body, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if have := sha256Hex(content.Payload); have != hashes[c.File] {
				t.Errorf("have %s, want %s", have, hashes[c.File])
			}
			inventory := strings.Contains(c.File, "inventory")
			if inventory != (content.Kind == ContentInventory) {
				t.Errorf("kind %s", content.Kind)
			}
			if !inventory && (content.File != "../shared/inventory.json" || content.Mtime.Unix() != 1795412864) {
				t.Errorf("file %q, written %s", content.File, content.Mtime)
			}
		})
	}
}

func TestUnpack_RejectsLargeAndBrokenBodies(t *testing.T) {
	zeros := make([]byte, 64<<20)
	bomb, err := FileBody("/dev/zero", time.Unix(1, 0), false, zeros, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(bomb) > 128<<10 {
		t.Fatalf("the body is %d bytes; it must be far smaller than its content", len(bomb))
	}
	large, err := InventoryBody([]byte(`{"facts":"`+strings.Repeat("x", 2000)+`"}`), false)
	if err != nil {
		t.Fatal(err)
	}
	body := func(rest string) []byte { return []byte(fmt.Sprintf(`{"protocol":%q,%s}`, fileContent, rest)) }
	largeFile := base64.StdEncoding.EncodeToString(make([]byte, 1001))
	good := gzipBase64([]byte("hello"))
	for name, test := range map[string]struct {
		body []byte
		want error
	}{
		"grows without end":   {bomb, ErrTooLarge},
		"large as it is":      {large, ErrTooLarge},
		"large file":          {body(`"content":"` + largeFile + `"`), ErrTooLarge},
		"no gzip":             {body(`"zcontent":"aGVsbG8="`), ErrMalformed},
		"gzip cut off":        {body(`"zcontent":"` + good[:len(good)-8] + `"`), ErrMalformed},
		"not base64":          {body(`"zcontent":"!"`), ErrMalformed},
		"content an object":   {body(`"content":{}`), ErrSchema},
		"content not base64":  {body(`"content":"!"`), ErrMalformed},
		"mtime before 1970":   {body(`"mtime":-5,"content":""`), ErrSchema},
		"mtime in year 10000": {body(`"mtime":253402300800,"content":""`), ErrSchema},
		"inventory a text":    {[]byte(fmt.Sprintf(`{"protocol":%q,"content":"x"}`, inventoryContent)), ErrSchema},
		"inventory missing":   {[]byte(fmt.Sprintf(`{"protocol":%q}`, inventoryContent)), ErrSchema},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Unpack(test.body, 1000); !errors.Is(err, test.want) {
				t.Errorf("have %v, want %v", err, test.want)
			}
		})
	}
}

func TestUnpack_ReturnsOtherBodies(t *testing.T) {
	for _, text := range []string{"", "ping", "{}", `{"protocol":"other"}`, "null"} {
		if c, err := Unpack([]byte(text), 1000); err != nil || c.Kind != ContentBody || string(c.Payload) != text {
			t.Errorf("%q: %v %v", text, c, err)
		}
	}
}

func TestFileBodyAndInventoryBody_HaveKeysOfCaptures(t *testing.T) {
	now := time.Unix(1795412864, 0)
	empty := []byte("{}")
	for file, build := range map[string]func() ([]byte, error){
		"registration-file":                   func() ([]byte, error) { return FileBody("x", now, false, empty, true) },
		"registration-file-uncompressed":      func() ([]byte, error) { return FileBody("x", now, false, empty, false) },
		"registration-inventory":              func() ([]byte, error) { return InventoryBody(empty, true) },
		"registration-inventory-uncompressed": func() ([]byte, error) { return InventoryBody(empty, false) },
	} {
		t.Run(file, func(t *testing.T) {
			m, err := parseRequest(read(t, "v1-mtls/"+file+".transport.json"))
			if err != nil {
				t.Fatal(err)
			}
			body, err := build()
			if err != nil {
				t.Fatal(err)
			}
			if have, want := keysOf(t, body), keysOf(t, m.Body); !slices.Equal(have, want) {
				t.Errorf("have %v, want %v", have, want)
			}
		})
	}
}

// keysOf returns the top-level keys of a JSON object in order, each with the first byte of its value.
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

func FuzzUnpack(f *testing.F) {
	for _, c := range captures(f, "registration") {
		m, err := parseRequest(read(f, c.File))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const limit = 4096
		c, err := Unpack(body, limit)
		if err == nil && c.Kind != ContentBody && len(c.Payload) > limit {
			t.Fatalf("unpacked to %d bytes", len(c.Payload))
		}
	})
}
