package inproc

import "strings"

// headerBegin is in front of all headers. See
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-4.md.
const headerBegin = "NATS/1.0\r\n"

// Header is the headers of a message as text.
type Header []byte

// Begin begins headers in a buffer that may hold something else before them.
func Begin(buffer []byte) Header { return append(buffer, headerBegin...) }

// Add adds a header. A value is one line without blanks around it: line ends in it become
// blanks.
func (h Header) Add(key, value string) Header {
	h = append(h, key...)
	h = append(h, ": "...)
	start := len(h)
	h = append(h, strings.TrimSpace(value)...)
	for i, b := range h[start:] {
		if b == '\r' || b == '\n' {
			h[start+i] = ' '
		}
	}
	return append(h, "\r\n"...)
}

// End ends the headers.
func (h Header) End() []byte { return append(h, "\r\n"...) }
