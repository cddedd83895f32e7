// Package tap reads what is published to subjects, over a bare connection to a NATS server,
// as fast as the server writes it. It publishes nothing, and a tap that has ended stays
// ended.
//
// A client library would do, but for two things. The server ends a connection that lags
// behind, and what is published until the next one is there is known to nobody; so the
// reader must be no slower than those who publish, even when the processors are busy. And
// a message that there is no room for is not copied, only counted.
//
// The protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol.
package tap

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readBuffer is as large as the largest piece in which the server writes.
	readBuffer = 64 << 10
	// openWait is how long the server may take to let the connection in.
	openWait = 10 * time.Second
)

var (
	ping = []byte("PING\r\n")
	pong = []byte("PONG\r\n")
)

// Receiver is who gets the messages. Its methods are called by Open and Run, one after the
// other, and must not wait.
type Receiver interface {
	// Room gives where to put a message of that size, or nil where it is not wanted.
	Room(size int) []byte
	// Receive takes every message. Data is what Room gave for it.
	Receive(subject string, size int, data []byte)
}

// Tap is one connection with its subscriptions.
type Tap struct {
	conn     net.Conn
	reader   *bufio.Reader
	receiver Receiver
	id       uint64
	subjects int    // so many subscriptions, with ids from 0
	subject  string // of the message before: most have the same
	received atomic.Uint64

	writes   chan []byte
	draining atomic.Bool
	ended    chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
}

// Open introduces itself on the connection and subscribes. When it returns, the receiver
// gets whatever is published to the subjects. The connection is the tap's, also after an
// error.
func Open(conn net.Conn, name, token string, subjects []string, receiver Receiver) (*Tap, error) {
	t := &Tap{
		conn:     conn,
		reader:   bufio.NewReaderSize(conn, readBuffer),
		receiver: receiver,
		subjects: len(subjects),
		writes:   make(chan []byte, 4),
		ended:    make(chan struct{}),
	}
	t.wg.Go(t.write)
	if err := t.open(name, token, subjects); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Tap) open(name, token string, subjects []string) error {
	if err := t.conn.SetDeadline(time.Now().Add(openWait)); err != nil {
		return err
	}
	if err := t.readInfo(); err != nil {
		return err
	}
	hello, err := json.Marshal(map[string]any{
		"name": name, "auth_token": token, "lang": "go", "version": "1", "protocol": 1,
		"headers": true, "verbose": false, "pedantic": false,
	})
	if err != nil {
		return err
	}
	for _, lines := range [][]byte{fmt.Appendf(nil, "CONNECT %s\r\n", hello), subscriptions(subjects)} {
		t.send(append(lines, ping...))
		if err := t.readToPong(); err != nil {
			return err
		}
	}
	return t.conn.SetDeadline(time.Time{})
}

// subscriptions are the lines that subscribe; the place in the list is the id.
func subscriptions(subjects []string) []byte {
	var lines []byte
	for id, subject := range subjects {
		lines = fmt.Appendf(lines, "SUB %s %d\r\n", subject, id)
	}
	return lines
}

// readInfo takes the id of the connection from the server's first line.
func (t *Tap) readInfo() error {
	line, err := t.line()
	if err != nil {
		return err
	}
	text, found := bytes.CutPrefix(line, []byte("INFO "))
	if !found {
		return fmt.Errorf("the server begins with %.64q", line)
	}
	var info struct {
		ID uint64 `json:"client_id"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return fmt.Errorf("read the server's INFO: %w", err)
	}
	t.id = info.ID
	return nil
}

// ID is the server's number for the connection.
func (t *Tap) ID() uint64 { return t.id }

// Received is how many messages have come, whether there was room for them or not.
func (t *Tap) Received() uint64 { return t.received.Load() }

// Run reads until the connection ends, and says why; after Drain that is no error.
func (t *Tap) Run() error {
	defer t.Close()
	err := t.readToPong() // the only ping that is not answered yet is Drain's
	if t.draining.Load() && err == nil {
		return nil
	}
	if err == nil {
		err = errors.New("the server answers a ping that was not sent")
	}
	return err
}

// Drain ends the subscriptions. Run returns once all that was routed before has come.
func (t *Tap) Drain() {
	t.draining.Store(true)
	var lines []byte
	for id := range t.subjects {
		lines = fmt.Appendf(lines, "UNSUB %d\r\n", id)
	}
	t.send(append(lines, ping...))
}

// Close ends the connection. It may be called twice.
func (t *Tap) Close() {
	t.once.Do(func() {
		close(t.ended)
		_ = t.conn.Close()
	})
	t.wg.Wait()
}

// send hands lines to the writer: the server may be writing to us at that moment, and
// over a pipe two who write and do not read wait for ever.
func (t *Tap) send(lines []byte) {
	select {
	case t.writes <- lines:
	case <-t.ended:
	}
}

func (t *Tap) write() {
	for {
		select {
		case <-t.ended:
			return
		case lines := <-t.writes:
			if _, err := t.conn.Write(lines); err != nil {
				return // and the reader sees why
			}
		}
	}
}
