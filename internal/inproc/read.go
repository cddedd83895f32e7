package inproc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// readUntilPong reads messages until the server answers a ping.
func (c *Conn) readUntilPong() error {
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		verb, rest, _ := bytes.Cut(line, []byte(" "))
		switch string(verb) {
		case "MSG":
			err = c.readMessage(rest, false)
		case "HMSG":
			err = c.readMessage(rest, true)
		case "PING":
			c.send(pong)
		case "PONG":
			return nil
		case "INFO", "+OK":
		case "-ERR":
			if !c.opened || endsConnection(rest) {
				err = fmt.Errorf("the server reports %s", rest)
			}
		default:
			err = fmt.Errorf("the server sent %.64q, which is not part of the protocol", line)
		}
		if err != nil {
			return err
		}
	}
}

// harmlessErrors are the beginnings of the errors after which the server keeps a connection. They concern one
// publish, which the server does not route, so it gets no ack.
var harmlessErrors = [][]byte{[]byte("'Permissions Violation for Publish"), []byte("'Invalid Publish Subject")}

// endsConnection reports whether the connection is of no use after an error: the server ends it, or
// has refused a subscription.
func endsConnection(text []byte) bool {
	return !slices.ContainsFunc(harmlessErrors, func(begin []byte) bool { return bytes.HasPrefix(text, begin) })
}

// readLine returns the next line without its end. The slice is valid until the next read.
func (c *Conn) readLine() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		line, err = c.readLongLine(line, err)
	}
	return bytes.TrimRight(line, "\r\n"), err
}

// readLongLine reads the rest of a line that is longer than the buffer, and returns the line with a
// blank in place of its middle. Its beginning has the verb and its end the sizes, so the message that it announces can
// still be read; the subject or the reply subject is cut, but still longer than any that a receiver
// has use for.
func (c *Conn) readLongLine(part []byte, err error) ([]byte, error) {
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	line := bytes.Clone(part[:keptBegin])
	var end []byte
	for errors.Is(err, bufio.ErrBufferFull) {
		end = append(end[:0], part[len(part)-keptEnd:]...)
		part, err = c.reader.ReadSlice('\n')
	}
	if err != nil {
		return nil, err
	}
	end = append(end, part[max(0, len(part)-keptEnd):]...)
	return append(append(line, ' '), end...), nil
}

// errControlLine is returned for an invalid MSG or HMSG line.
var errControlLine = errors.New("the server sent a MSG or HMSG line that is not valid")

// readMessage reads the message that a line announces. line is what follows the verb:
//
//	MSG <subject> <sid> [reply] <bytes>
//	HMSG <subject> <sid> [reply] <header bytes> <total bytes>
func (c *Conn) readMessage(line []byte, headers bool) error {
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
	_, reply, _ := bytes.Cut(rest, []byte(" "))
	m := Message{Subject: c.subject, Reply: string(reply), Size: size - header} // reply is valid until the next read
	var err error
	if m.Status, m.Peer, err = c.readHeaders(header); err != nil {
		return err
	}
	return c.readData(m)
}

// readHeaders reads the headers, n bytes long. It returns the status from their first line, and the
// publisher from their last.
func (c *Conn) readHeaders(n int) (status string, peer Peer, err error) {
	if n == 0 {
		return "", Peer{}, nil
	}
	begin, err := c.reader.Peek(min(n, len("NATS/1.0 503")))
	if err != nil {
		return "", Peer{}, err
	}
	_, text, _ := bytes.Cut(bytes.TrimRight(begin, "\r\n"), []byte(" "))
	status = string(text)
	last := min(n, maxPeerBytes)
	if _, err := c.reader.Discard(n - last); err != nil {
		return "", Peer{}, err
	}
	end, err := c.reader.Peek(last)
	if err != nil {
		return "", Peer{}, err
	}
	peer = c.peers.read(end)
	_, err = c.reader.Discard(last)
	return status, peer, err
}

// readData reads or discards the data of a message, and hands the message to the receiver.
func (c *Conn) readData(m Message) error {
	discard := m.Size
	m.Data = c.receiver.Memory(m.Size, m.Peer)
	if m.Data != nil {
		discard = 0
		if _, err := io.ReadFull(c.reader, m.Data); err != nil {
			return err
		}
	}
	if _, err := c.reader.Discard(discard + len("\r\n")); err != nil {
		return err
	}
	c.received.Add(1)
	c.receiver.Receive(m)
	return nil
}

// lastNumber splits the last word, which must be a number, from a line.
func lastNumber(line []byte) (rest []byte, n int, ok bool) {
	at := bytes.LastIndexByte(line, ' ')
	n, err := strconv.Atoi(string(line[at+1:]))
	if err != nil || n < 0 {
		return nil, 0, false
	}
	return line[:max(at, 0)], n, true
}
