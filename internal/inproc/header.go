package inproc

import "strings"

// headerBegin is the first line of all headers. See
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-4.md.
const headerBegin = "NATS/1.0\r\n"

// Header builds the headers of a message as text: Begin, Add for each header, End.
type Header []byte

// Begin starts headers after what the buffer holds already.
func Begin(buffer []byte) Header { return append(buffer, headerBegin...) }

// Add adds a header. The value becomes one line: blanks around it are removed, and line ends in it
// are replaced by blanks.
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

// End returns the finished text, as Conn.Publish needs it.
func (h Header) End() []byte { return append(h, "\r\n"...) }
