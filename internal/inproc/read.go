package inproc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// readToPong hands on messages until the server has answered a ping.
func (c *Conn) readToPong() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		verb, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(verb) {
		case "MSG":
			err = c.message(rest, false)
		case "HMSG":
			err = c.message(rest, true)
		case "PING":
			c.send(pong)
		case "PONG":
			return nil
		case "INFO", "+OK":
		case "-ERR":
			err = fmt.Errorf("the server says %s", rest)
		default:
			err = fmt.Errorf("the server says %.64q", line)
		}
		if err != nil {
			return err
		}
	}
}

// line is the next line without its end, good until the next read.
func (c *Conn) line() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// errControlLine is a line that tells of a message and makes no sense.
var errControlLine = errors.New("the server announces a message in a way that cannot be read")

// message reads what follows a line such as
//
//	MSG <subject> <sid> [reply] <bytes>
//	HMSG <subject> <sid> [reply] <header bytes> <bytes together>
func (c *Conn) message(line []byte, headers bool) error {
	subject, rest, _ := bytes.Cut(line, []byte(" "))
	var header int
	rest, size, ok := lastNumber(rest)
	if ok && headers {
		rest, header, ok = lastNumber(rest)
	}
	if !ok || len(rest) == 0 || header > size {
		return errControlLine
	}
	if string(subject) != c.subject {
		c.subject = string(subject)
	}
	status, err := c.status(header)
	if err != nil {
		return err
	}
	return c.payload(status, size-header)
}

// status reads over headers, of which only the status in their first line matters here.
func (c *Conn) status(header int) (string, error) {
	begin, err := c.reader.Peek(min(header, len("NATS/1.0 503")))
	if err != nil {
		return "", err
	}
	_, status, _ := bytes.Cut(bytes.TrimRight(begin, "\r\n"), []byte(" "))
	text := string(status)
	_, err = c.reader.Discard(header)
	return text, err
}

// payload reads the message itself, or over it, and hands it on.
func (c *Conn) payload(status string, size int) error {
	skip := size
	data := c.receiver.Buffer(size)
	if data != nil {
		skip = 0
		if _, err := io.ReadFull(c.reader, data); err != nil {
			return err
		}
	}
	if _, err := c.reader.Discard(skip + len("\r\n")); err != nil {
		return err
	}
	c.received.Add(1)
	c.receiver.Receive(Message{Subject: c.subject, Status: status, Size: size, Data: data})
	return nil
}

// lastNumber takes the last word, a number, off a line.
func lastNumber(line []byte) (rest []byte, n int, ok bool) {
	at := bytes.LastIndexByte(line, ' ')
	n, err := strconv.Atoi(string(line[at+1:]))
	if err != nil || n < 0 {
		return nil, 0, false
	}
	return line[:max(at, 0)], n, true
}
