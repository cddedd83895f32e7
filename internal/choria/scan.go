package choria

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// cursor reads JSON of which the form is known: text that is written in another way is not
// an error but makes it fail, and all that is read from then on is empty.
type cursor struct {
	text   []byte // what is left
	failed bool
}

func (c *cursor) fail() { c.text, c.failed = nil, true }

// literal steps over what must be there.
func (c *cursor) literal(s string) {
	if len(c.text) < len(s) || string(c.text[:len(s)]) != s {
		c.fail()
		return
	}
	c.text = c.text[len(s):]
}

// end wants nothing to be left.
func (c *cursor) end() {
	if len(c.text) > 0 {
		c.fail()
	}
}

// plain is the rest of a string of printable ASCII without escapes; it steps over the
// quotation mark at its end. What it gives is part of the text.
func (c *cursor) plain() []byte {
	end := run(c.text)
	if end == len(c.text) || c.text[end] != '"' {
		c.fail()
		return nil
	}
	found := c.text[:end]
	c.text = c.text[end+1:]
	return found
}

// base64 appends what the rest of a string stands for.
func (c *cursor) base64(into []byte) []byte {
	end := bytes.IndexByte(c.text, '"')
	if end < 0 {
		c.fail()
		return into
	}
	found := c.text[:end]
	c.text = c.text[end+1:]
	if bytes.IndexByte(found, '\n') >= 0 || bytes.IndexByte(found, '\r') >= 0 { // which the decoder reads over
		c.fail()
		return into
	}
	into, err := base64Strict.AppendDecode(into, found) // makes room for all at once
	if err != nil {
		c.fail()
	}
	return into
}

// escaped appends the rest of a string, with its escapes taken out.
func (c *cursor) escaped(into []byte) []byte {
	into = slices.Grow(into, min(len(c.text), mostKept))
	for text := c.text; ; {
		n := run(text)
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
		default: // a control character, which a string may not hold
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

// number is a whole number of at most 18 digits, or 19 where it is a time in nanoseconds
// before the year 2255; not negative.
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

// unescape appends what a leading escape stands for, and tells its length: 0 where it is
// none, or half of a surrogate pair.
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
	r := escaped(text)
	if r < 0 || r >= 0xD800 && r <= 0xDFFF {
		return into, 0
	}
	return utf8.AppendRune(into, r), 6
}

// run is how many leading bytes of a string are printable ASCII, and stand for themselves.
func run(text []byte) int {
	n := 0
	for ; len(text)-n >= 8; n += 8 {
		if special := specials(binary.LittleEndian.Uint64(text[n:])); special != 0 {
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

// specials has the high bit set of the first byte, of eight, that is a control character, a
// quotation mark, a backslash or not ASCII. Above that one, bits may be set that mean nothing.
func specials(eight uint64) uint64 {
	return ((eight-ones*' ')&^eight|eight)&highs | anyOf(eight, '"') | anyOf(eight, '\\')
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// anyOf has the high bit set of the first byte, of eight, that is c.
func anyOf(eight, c uint64) uint64 {
	x := eight ^ ones*c
	return (x - ones) &^ x & highs
}
