package tap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// readToPong hands on messages until the server has answered a ping.
func (t *Tap) readToPong() error {
	for {
		line, err := t.line()
		if err != nil {
			return err
		}
		verb, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(verb) {
		case "MSG":
			err = t.message(rest, false)
		case "HMSG":
			err = t.message(rest, true)
		case "PING":
			t.send(pong)
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
func (t *Tap) line() ([]byte, error) {
	line, err := t.reader.ReadSlice('\n')
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
func (t *Tap) message(line []byte, headers bool) error {
	subject, rest, _ := bytes.Cut(line, []byte(" "))
	var header int
	rest, size, ok := lastNumber(rest)
	if ok && headers {
		rest, header, ok = lastNumber(rest)
	}
	if !ok || len(rest) == 0 || header > size {
		return errControlLine
	}
	if string(subject) != t.subject {
		t.subject = string(subject)
	}
	if _, err := t.reader.Discard(header); err != nil {
		return err
	}
	return t.payload(size - header)
}

// payload reads the message itself, or over it, and hands it on.
func (t *Tap) payload(size int) error {
	skip := size
	data := t.receiver.Room(size)
	if data != nil {
		skip = 0
		if _, err := io.ReadFull(t.reader, data); err != nil {
			return err
		}
	}
	if _, err := t.reader.Discard(skip + len("\r\n")); err != nil {
		return err
	}
	t.received.Add(1)
	t.receiver.Receive(t.subject, size, data)
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
