package choria

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// outputProtocol names "choria_streams" for adapters of the type jetstream too.
const outputProtocol = "choria:adapters:choria_streams:output:1"

// AppendOutput appends the message in the JSON that Choria's own adapter writes, byte for byte:
// the same order of keys, and strings escaped like encoding/json escapes them for HTML. The schema,
// https://choria.io/schemas/choria/adapters/choria_streams/v1/output.json, makes time an
// integer; Choria's adapter writes RFC 3339 with nanoseconds, and so does AppendOutput.
func (m *Message) AppendOutput(out []byte) []byte {
	out = slices.Grow(out, m.OutputSize())
	out = append(out, `{"protocol":"`+outputProtocol+`","data":"`...)
	out = appendEscaped(out, m.Body)
	out = append(out, `","sender":"`...)
	out = appendEscaped(out, []byte(m.Sender))
	out = append(out, `","time":"`...)
	out = m.Time.AppendFormat(out, time.RFC3339Nano)
	out = append(out, `","requestid":"`...)
	out = appendEscaped(out, []byte(m.ID))
	return append(out, `"}`...)
}

// OutputSize returns an estimate of the bytes that AppendOutput appends. A body with many escapes
// needs more.
func (m *Message) OutputSize() int {
	return len(m.Body) + len(m.Body)/16 + len(m.Sender) + len(m.ID) + 200
}

// appendEscaped appends text, which is valid UTF-8, with the escapes of a JSON string.
func appendEscaped(out, text []byte) []byte {
	for len(text) > 0 {
		n := htmlSafePrefix(text)
		out = append(out, text[:n]...)
		if text = text[n:]; len(text) == 0 {
			break
		}
		if text[0] < utf8.RuneSelf {
			out, text = appendEscape(out, text[0]), text[1:]
			continue
		}
		r, size := utf8.DecodeRune(text)
		if r == '\u2028' || r == '\u2029' { // line terminators in JavaScript
			out = append(out, `\u202`...)
			out = append(out, "89"[r-'\u2028'])
		} else {
			out = append(out, text[:size]...)
		}
		text = text[size:]
	}
	return out
}

// htmlSafePrefix returns how many leading bytes are ASCII that encoding/json writes unescaped. It
// tests eight bytes at a time.
func htmlSafePrefix(text []byte) int {
	n := 0
	for ; len(text)-n >= 8; n += 8 {
		eight := binary.LittleEndian.Uint64(text[n:])
		special := specialBytes(eight) | bytesEqual(eight, '<') | bytesEqual(eight, '>') | bytesEqual(eight, '&')
		if special != 0 {
			return n + bits.TrailingZeros64(special)/8
		}
	}
	for ; n < len(text); n++ {
		if c := text[n]; c < ' ' || c >= utf8.RuneSelf || strings.IndexByte(`"\<>&`, c) >= 0 {
			break
		}
	}
	return n
}

// appendEscape appends the escape of a single ASCII character.
func appendEscape(out []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(out, '\\', c)
	case '\b':
		return append(out, '\\', 'b')
	case '\f':
		return append(out, '\\', 'f')
	case '\n':
		return append(out, '\\', 'n')
	case '\r':
		return append(out, '\\', 'r')
	case '\t':
		return append(out, '\\', 't')
	}
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xF])
}

// OutputBody returns the body of the message in the output of AppendOutput or of Choria's own
// adapter. The error wraps ErrMalformed, ErrSchema or ErrNotUTF8.
func OutputBody(output []byte) ([]byte, error) {
	var o struct {
		Protocol string `json:"protocol"`
		Data     string `json:"data"`
	}
	if err := decodeJSON("output", output, &o); err != nil {
		return nil, err
	}
	if o.Protocol != outputProtocol {
		return nil, schemaError("output", "the protocol is not "+outputProtocol)
	}
	return []byte(o.Data), nil
}
