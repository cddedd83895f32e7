package inproc

import (
	"errors"
	"slices"
	"strconv"
	"time"
)

const (
	// writeWait is how long the server may take to read, as long as it gives a client.
	writeWait = 10 * time.Second
	// pieceBytes is what goes to the server at once: as much as it reads at once. A piece
	// ends where a message ends, unless that is longer; one that the server reads in two it
	// has to copy.
	pieceBytes = 60 << 10
	// mostSpare is how many pieces are kept to be filled again.
	mostSpare = 64
)

// Errors of Publish.
var (
	ErrTooLarge = errors.New("message is larger than the server's max_payload")
	ErrClosed   = errors.New("connection has ended")
)

// Publish sends a message, with the reply subject that its answer comes to and its headers
// as text (see Header). It does not wait: without an error the message is on its way, and
// the slices may be used again. As with all of NATS, only an answer says that it arrived.
func (c *Conn) Publish(subject, reply string, header, data []byte) error {
	if len(header)+len(data) > c.maxPayload {
		return ErrTooLarge
	}
	select {
	case <-c.ended:
		return ErrClosed
	default:
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	const line = len("HPUB 1048576 1048576\r\n\r\n  ")
	out := c.piece(line + len(subject) + len(reply) + len(header) + len(data))
	out = append(out, "HPUB "...)
	out = append(out, subject...)
	out = append(out, ' ')
	out = append(out, reply...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(header)), 10)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(header)+len(data)), 10)
	out = append(out, "\r\n"...)
	out = append(out, header...)
	out = append(out, data...)
	out = append(out, "\r\n"...)
	c.unsent[len(c.unsent)-1] = out
	c.wakeWriter()
	return nil
}

// send leaves lines to the writer: the server may be writing to us at that moment, and
// over a pipe two who write and do not read wait for ever.
func (c *Conn) send(lines []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	out := c.piece(len(lines))
	c.unsent[len(c.unsent)-1] = append(out, lines...)
	c.wakeWriter()
}

// piece is the last unsent one, with room for that many bytes more.
func (c *Conn) piece(bytes int) []byte {
	if last := len(c.unsent) - 1; last >= 0 && len(c.unsent[last])+bytes <= cap(c.unsent[last]) {
		return c.unsent[last]
	}
	var next []byte
	if last := len(c.spare) - 1; last >= 0 && bytes <= pieceBytes {
		next, c.spare = c.spare[last][:0], c.spare[:last]
	} else {
		next = make([]byte, 0, max(bytes, pieceBytes))
	}
	c.unsent = append(c.unsent, next)
	return next
}

func (c *Conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// write sends piece after piece.
func (c *Conn) write() {
	for {
		select {
		case <-c.ended:
			return
		case <-c.wake:
		}
		for out := c.take(nil); out != nil; out = c.take(out) {
			if err := c.writeAll(out); err != nil {
				_ = c.conn.Close() // and the reader sees why
				return
			}
		}
	}
}

// take gives back a piece that has been sent, and gets the next.
func (c *Conn) take(sent []byte) []byte {
	c.writing.Lock()
	defer c.writing.Unlock()
	if cap(sent) == pieceBytes && len(c.spare) < mostSpare {
		c.spare = append(c.spare, sent)
	}
	if len(c.unsent) == 0 {
		return nil
	}
	next := c.unsent[0]
	c.unsent = slices.Delete(c.unsent, 0, 1)
	return next
}

func (c *Conn) writeAll(out []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	_, err := c.conn.Write(out)
	return err
}
