// Package wire is a bare connection to a NATS server in this process: it reads what is
// published to subjects as fast as the server writes it, and publishes without a copy or an
// allocation that could be left out. A connection that has ended stays ended.
//
// A client library would do, but for three things. The server ends a connection that lags
// behind, and what is published until the next one is there is known to nobody; so the
// reader must be no slower than those who publish, even when the processors are busy. A
// message that there is no room for is not copied, only counted. And every message of a
// burst goes through here twice, in and out: maps for headers and one goroutine to the next
// were a sixth of what it cost.
//
// The protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol.
package inproc

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
	// Buffer gives where to put a message of that size, or nil where it is not wanted.
	Buffer(size int) []byte
	// Receive takes every message.
	Receive(m Message)
}

// Message is one that has come.
type Message struct {
	Subject string
	Status  string // what the server says in the place of an answer, such as NoResponders
	Size    int
	Data    []byte // what Room gave for it
}

// NoResponders is the status that comes to the reply subject of a message nobody takes.
const NoResponders = "503"

// Conn is one connection with its subscriptions.
type Conn struct {
	conn       net.Conn
	reader     *bufio.Reader
	receiver   Receiver
	id         uint64
	maxPayload int    // bytes of a message, with its headers
	subjects   int    // so many subscriptions, with ids from 0
	subject    string // of the message before: most have the same
	received   atomic.Uint64
	draining   atomic.Bool

	writing sync.Mutex
	unsent  [][]byte      // pieces that the writer has not taken yet
	spare   [][]byte      // pieces to fill again
	wake    chan struct{} // the writer is to look

	ended chan struct{}
	once  sync.Once
	wg    sync.WaitGroup
}

// Open introduces itself on the connection and subscribes. When it returns, the receiver
// gets whatever is published to the subjects. The net.Conn is the connection's, also after an
// error.
func Open(conn net.Conn, name, token string, subjects []string, receiver Receiver) (*Conn, error) {
	c := &Conn{
		conn:     conn,
		reader:   bufio.NewReaderSize(conn, readBuffer),
		receiver: receiver,
		subjects: len(subjects),
		wake:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
	c.wg.Go(c.write)
	if err := c.open(name, token, subjects); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) open(name, token string, subjects []string) error {
	if err := c.conn.SetDeadline(time.Now().Add(openWait)); err != nil {
		return err
	}
	if err := c.readInfo(); err != nil {
		return err
	}
	hello, err := json.Marshal(map[string]any{
		"name": name, "auth_token": token, "lang": "go", "version": "1", "protocol": 1,
		"headers": true, "no_responders": true, "verbose": false, "pedantic": false,
	})
	if err != nil {
		return err
	}
	for _, lines := range [][]byte{fmt.Appendf(nil, "CONNECT %s\r\n", hello), subscriptions(subjects)} {
		c.send(append(lines, ping...))
		if err := c.readToPong(); err != nil {
			return err
		}
	}
	return c.conn.SetDeadline(time.Time{})
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
func (c *Conn) readInfo() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	text, found := bytes.CutPrefix(line, []byte("INFO "))
	if !found {
		return fmt.Errorf("the server begins with %.64q", line)
	}
	var info struct {
		ID         uint64 `json:"client_id"`
		MaxPayload int    `json:"max_payload"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return fmt.Errorf("read the server's INFO: %w", err)
	}
	c.id, c.maxPayload = info.ID, info.MaxPayload
	return nil
}

// ID is the server's number for the connection.
func (c *Conn) ID() uint64 { return c.id }

// Received is how many messages have come, whether there was room for them or not.
func (c *Conn) Received() uint64 { return c.received.Load() }

// Run reads until the connection ends, and says why; after Drain that is no error.
func (c *Conn) Run() error {
	defer c.Close()
	err := c.readToPong() // the only ping that is not answered yet is Drain's
	if c.draining.Load() && err == nil {
		return nil
	}
	if err == nil {
		err = errors.New("the server answers a ping that was not sent")
	}
	return err
}

// Drain ends the subscriptions. Run returns once all that was routed before has come.
func (c *Conn) Drain() {
	c.draining.Store(true)
	var lines []byte
	for id := range c.subjects {
		lines = fmt.Appendf(lines, "UNSUB %d\r\n", id)
	}
	c.send(append(lines, ping...))
}

// Close ends the connection. It may be called twice.
func (c *Conn) Close() {
	c.once.Do(func() {
		close(c.ended)
		_ = c.conn.Close()
	})
	c.wg.Wait()
}
