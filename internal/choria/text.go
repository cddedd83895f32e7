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

// Longest a sender and a request id may be, in bytes.
const (
	maxSender = 255
	maxID     = 64
)

// base64Strict takes standard padded base64 and nothing beside it: no line feeds, no stray bits.
var base64Strict = base64.StdEncoding.Strict()

func decodeBase64(layer, text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%w: %s: line feed in base64", ErrMalformed, layer)
	}
	decoded, err := base64Strict.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, layer, err)
	}
	return decoded, nil
}

// decodeJSON reads one layer. Its text is checked first, because encoding/json puts
// U+FFFD in the place of what is no text, and the message would change on its way.
func decodeJSON(layer string, text []byte, into any) error {
	if !utf8.Valid(text) || loneSurrogate(text) {
		return fmt.Errorf("%w: %s", ErrNotUTF8, layer)
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

// loneSurrogate tells whether a JSON text has an escape such as \ud83d without its other half.
func loneSurrogate(text []byte) bool {
	for {
		at := bytes.IndexByte(text, '\\')
		if at < 0 || at+1 >= len(text) {
			return false
		}
		text = text[at:]
		switch r := escaped(text); {
		case r >= 0xD800 && r < 0xDC00:
			if low := escaped(text[6:]); low < 0xDC00 || low > 0xDFFF {
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

// escaped is the code unit of a leading \uXXXX, or -1 where there is none.
func escaped(text []byte) rune {
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

// CheckSender allows 1 to 255 bytes of A-Za-z0-9._:@=+- without empty tokens: what can
// be put into a subject and stays the same number of tokens there. The error is
// ErrBadSender.
func CheckSender(sender string) error {
	if sender == "" || len(sender) > maxSender {
		return fmt.Errorf("%w: %d bytes long", ErrBadSender, len(sender))
	}
	previous := byte('.')
	for i := range len(sender) {
		c := sender[i]
		if c == '.' && previous == '.' || !senderByte(c) {
			return fmt.Errorf("%w: %q", ErrBadSender, sender)
		}
		previous = c
	}
	if previous == '.' {
		return fmt.Errorf("%w: %q", ErrBadSender, sender)
	}
	return nil
}

func senderByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("._:@=+-", c) >= 0
}

// checkID allows 1 to 64 printable ASCII bytes without blank or "/".
func checkID(id string) error {
	if id == "" || len(id) > maxID {
		return fmt.Errorf("%w: %d bytes long", ErrBadID, len(id))
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7F || c == '/' {
			return fmt.Errorf("%w: %q", ErrBadID, id)
		}
	}
	return nil
}
