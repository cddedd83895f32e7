package choria

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// base64Strict decodes standard padded base64 and rejects non-zero trailing bits. It skips line
// feeds, which callers reject first.
var base64Strict = base64.StdEncoding.Strict()

// decodeBase64 decodes standard base64 without line feeds. The error wraps ErrMalformed.
func decodeBase64(layer, text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: %s: base64 contains a line feed", ErrMalformed, layer)
	}
	decoded, err := base64Strict.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, layer, err)
	}
	return decoded, nil
}

// decodeJSON decodes the JSON text of one layer. The error wraps ErrNotUTF8, ErrLimit, ErrSchema (a
// value of another type) or ErrMalformed. Invalid UTF-8 is rejected first, because encoding/json would
// replace it with U+FFFD and so change the message.
func decodeJSON(layer string, text []byte, into any) error {
	if !utf8.Valid(text) || hasLoneSurrogate(text) {
		return fmt.Errorf("%w: %s", ErrNotUTF8, layer)
	}
	if err := CheckDepth(text); err != nil {
		return fmt.Errorf("%w: %s", err, layer)
	}
	err := json.Unmarshal(text, into)
	if wrongType := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrongType) {
		return fmt.Errorf("%w: %s: %w", ErrSchema, layer, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, layer, err)
	}
	return nil
}

// hasLoneSurrogate reports whether a JSON text has an escape such as \ud83d without the other half
// of the surrogate pair.
func hasLoneSurrogate(text []byte) bool {
	for {
		at := bytes.IndexByte(text, '\\')
		if at < 0 || at+1 >= len(text) {
			return false
		}
		text = text[at:]
		switch r := hexEscape(text); {
		case r >= 0xD800 && r < 0xDC00:
			if low := hexEscape(text[6:]); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			text = text[12:]
		case r >= 0xDC00 && r <= 0xDFFF:
			return true
		default:
			text = text[2:]
		}
	}
}

// hexEscape returns the UTF-16 code unit of a leading \uXXXX, or -1 if the text has none.
func hexEscape(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range text[2:6] {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 {
			return -1
		}
		r = r<<4 | rune(digit)
	}
	return r
}
