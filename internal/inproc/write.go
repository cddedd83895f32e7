package inproc

import (
	"errors"
	"slices"
	"strconv"
	"time"
)

const (
	// writeTimeout is how long the server may take to read a block: the same as the server's write
	// deadline for clients.
	writeTimeout = 10 * time.Second
	// blockBytes is how much is written at once: as much as the server reads at once. A block
	// ends where a message ends, because the server must copy a message that it reads in two
	// parts. A message that is larger is a block of its own.
	blockBytes = 60 << 10
	// maxSpare is how many blocks are kept to be filled again.
	maxSpare = 64
)

// Errors that Publish returns.
var (
	ErrTooLarge = errors.New("message is larger than the server's max_payload")
	ErrClosed   = errors.New("connection has ended")
)

// Publish sends a message with its headers as text (see Header). The answer, if any, is sent to the
// reply subject. Publish copies the message and does not wait: if it returns nil, the slices may be
// used again, but only an answer shows that the message arrived.
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
	out := c.lastBlock(line + len(subject) + len(reply) + len(header) + len(data))
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

// send leaves protocol lines to the writer goroutine. The reader must not write them itself: the
// server may be writing at the same moment, and if both ends of a pipe write, none reads.
func (c *Conn) send(lines []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	out := c.lastBlock(len(lines))
	c.unsent[len(c.unsent)-1] = append(out, lines...)
	c.wakeWriter()
}

// lastBlock returns the last unsent block, with room for so many more bytes. The mutex is held.
func (c *Conn) lastBlock(bytes int) []byte {
	if last := len(c.unsent) - 1; last >= 0 && len(c.unsent[last])+bytes <= cap(c.unsent[last]) {
		return c.unsent[last]
	}
	var next []byte
	if last := len(c.spare) - 1; last >= 0 && bytes <= blockBytes {
		next, c.spare = c.spare[last][:0], c.spare[:last]
	} else {
		next = make([]byte, 0, max(bytes, blockBytes))
	}
	c.unsent = append(c.unsent, next)
	return next
}

// wakeWriter lets the writer look for unsent blocks.
func (c *Conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default: // it has not looked since the last wake
	}
}

// write is the writer goroutine: it writes unsent blocks until the connection ends.
func (c *Conn) write() {
	for {
		select {
		case <-c.ended:
			return
		case <-c.wake:
		}
		for block := c.nextBlock(nil); block != nil; block = c.nextBlock(block) {
			if err := c.writeBlock(block); err != nil {
				_ = c.conn.Close() // the reader returns the error
				return
			}
		}
	}
}

// nextBlock returns the next unsent block, or nil. It keeps the block that was sent, if there is
// one, to be filled again.
func (c *Conn) nextBlock(sent []byte) []byte {
	c.writing.Lock()
	defer c.writing.Unlock()
	if cap(sent) == blockBytes && len(c.spare) < maxSpare {
		c.spare = append(c.spare, sent)
	}
	if len(c.unsent) == 0 {
		return nil
	}
	next := c.unsent[0]
	c.unsent = slices.Delete(c.unsent, 0, 1)
	return next
}

func (c *Conn) writeBlock(block []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(block)
	return err
}
