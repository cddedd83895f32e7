package choria

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// cursor scans JSON text of a known form. When the text has another form, the cursor fails: failed
// is set, and everything scanned from then on is empty. It does not report what differed.
type cursor struct {
	text   []byte // not yet scanned
	failed bool
}

func (c *cursor) fail() { c.text, c.failed = nil, true }

// literal scans the text s, or fails.
func (c *cursor) literal(s string) {
	if len(c.text) < len(s) || string(c.text[:len(s)]) != s {
		c.fail()
		return
	}
	c.text = c.text[len(s):]
}

// end fails if text is left.
func (c *cursor) end() {
	if len(c.text) > 0 {
		c.fail()
	}
}

// plainString scans the rest of a JSON string up to and including its closing quotation mark, and
// returns it without the mark. It fails unless the string is ASCII without escapes and control
// characters. The result points into the text.
func (c *cursor) plainString() []byte {
	end := plainPrefix(c.text)
	if end == len(c.text) || c.text[end] != '"' {
		c.fail()
		return nil
	}
	found := c.text[:end]
	c.text = c.text[end+1:]
	return found
}

// base64 scans the rest of a JSON string, which holds base64, and appends the decoded bytes.
func (c *cursor) base64(into []byte) []byte {
	end := bytes.IndexByte(c.text, '"')
	if end < 0 {
		c.fail()
		return into
	}
	found := c.text[:end]
	c.text = c.text[end+1:]
	if bytes.IndexByte(found, '\n') >= 0 || bytes.IndexByte(found, '\r') >= 0 { // the decoder would skip them
		c.fail()
		return into
	}
	into, err := base64Strict.AppendDecode(into, found) // grows into once
	if err != nil {
		c.fail()
	}
	return into
}

// quotedString scans the rest of a JSON string and appends the text that it stands for.
func (c *cursor) quotedString(into []byte) []byte {
	into = slices.Grow(into, min(len(c.text), maxKept))
	for text := c.text; ; {
		n := plainPrefix(text)
		into = append(into, text[:n]...)
		text = text[n:]
		if len(text) == 0 {
			break
		}
		switch {
		case text[0] == '"':
			c.text = text[1:]
			return into
		case text[0] == '\\':
			into, n = unescape(into, text)
		case text[0] >= utf8.RuneSelf:
			var r rune
			if r, n = utf8.DecodeRune(text); r == utf8.RuneError && n == 1 {
				n = 0
			}
			into = append(into, text[:n]...)
		default: // a control character, which JSON does not allow in a string
			n = 0
		}
		if n == 0 {
			break
		}
		text = text[n:]
	}
	c.fail()
	return into
}

// number scans a whole number from 0 to 8999999999999999999: in nanoseconds since 1970 that is the
// year 2255. It fails for larger and negative numbers, fractions and leading zeros.
func (c *cursor) number() int64 {
	digits := 0
	for digits < len(c.text) && '0' <= c.text[digits] && c.text[digits] <= '9' {
		digits++
	}
	found := c.text[:digits]
	if digits == 0 || digits > 19 || digits > 1 && found[0] == '0' || digits == 19 && found[0] >= '9' {
		c.fail()
		return 0
	}
	c.text = c.text[digits:]
	var n int64
	for _, digit := range found {
		n = n*10 + int64(digit-'0')
	}
	return n
}

// unescape appends the character that a leading escape stands for, and returns the length of the
// escape: 0 if it is not valid, or is half of a surrogate pair.
func unescape(into, text []byte) ([]byte, int) {
	if len(text) < 2 {
		return into, 0
	}
	switch text[1] {
	case '"', '\\', '/':
		return append(into, text[1]), 2
	case 'n':
		return append(into, '\n'), 2
	case 't':
		return append(into, '\t'), 2
	case 'r':
		return append(into, '\r'), 2
	case 'b':
		return append(into, '\b'), 2
	case 'f':
		return append(into, '\f'), 2
	}
	r := hexEscape(text)
	if r < 0 || r >= 0xD800 && r <= 0xDFFF {
		return into, 0
	}
	return utf8.AppendRune(into, r), 6
}

// plainPrefix returns how many leading bytes of a JSON string are ASCII characters other than
// control characters, quotation marks and backslashes. It tests eight bytes at a time.
func plainPrefix(text []byte) int {
	n := 0
	for ; len(text)-n >= 8; n += 8 {
		if special := specialBytes(binary.LittleEndian.Uint64(text[n:])); special != 0 {
			return n + bits.TrailingZeros64(special)/8
		}
	}
	for ; n < len(text); n++ {
		if c := text[n]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return n
}

// specialBytes returns a word in which the lowest set bit is the high bit of the first of eight
// bytes that is a control character, a quotation mark, a backslash or not ASCII. Higher bits have
// no meaning. It returns 0 if there is no such byte. The first byte is the least significant one.
func specialBytes(eight uint64) uint64 {
	return ((eight-lowBits*' ')&^eight|eight)&highBits | bytesEqual(eight, '"') | bytesEqual(eight, '\\')
}

const (
	lowBits  = 0x0101010101010101 // the low bit of each byte
	highBits = 0x8080808080808080 // the high bit of each byte
)

// bytesEqual is like specialBytes, for bytes equal to c.
func bytesEqual(eight, c uint64) uint64 {
	x := eight ^ lowBits*c
	return (x - lowBits) &^ x & highBits
}
