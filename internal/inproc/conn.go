// Package inproc is a connection to the NATS server in this process. It reads messages as fast as
// the server writes them, and publishes without avoidable copies and allocations. It does not
// reconnect, and needs no client library.
//
// The client library is not used, for three reasons. The server ends a connection that lags
// behind, and what is published until the next one is subscribed is lost and not counted; so the
// reader must be as fast as all publishers together, even when the processors are busy. A message
// that the receiver has no room for is not copied, only counted. And each message of a burst passes
// here twice, in and out: in the client library, maps for headers and a channel between two
// goroutines took a sixth of the time.
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
	// MaxControlLine is the longest protocol line, in bytes, that the server accepts from a client;
	// the broker configures the server with it. A line has room for two copies of a Choria token,
	// which is how CONNECT carries it. A subject and its reply subject may be as long. The server
	// keeps the subject of a subscription, so a longer line would cost memory.
	MaxControlLine = 16 << 10
	// lineMargin is what a line that the server writes may have, in bytes, beyond the line in which
	// a client published the message: another verb, the subscription, and two sizes.
	lineMargin = 1 << 10
	// readBuffer holds the longest line that the server writes, and the largest block that it writes
	// at once, which is 64 KiB.
	readBuffer = MaxControlLine + lineMargin
	// keptBegin and keptEnd are how many bytes of a line are kept that is longer nevertheless.
	keptBegin = 4 << 10
	keptEnd   = 256
	// openTimeout is how long the server may take to admit the connection.
	openTimeout = 10 * time.Second
)

var (
	ping = []byte("PING\r\n")
	pong = []byte("PONG\r\n")
)

// Receiver takes the messages of a connection. Open and Run call its methods one after the other,
// never concurrently. They must not block.
type Receiver interface {
	// Memory returns a slice of size bytes to read the data of a peer's message into, or nil to
	// discard the data.
	Memory(size int, from Peer) []byte
	// Receive is called for every message, also if its data was discarded.
	Receive(m Message)
}

// Message is a received message.
type Message struct {
	Subject string // up to about MaxControlLine bytes
	Reply   string // empty: the publisher expects no answer
	Status  string // from the first line of the headers, such as NoResponders; usually empty
	Peer    Peer   // the connection that published the message, if the server reports it
	Size    int    // bytes of the data
	Data    []byte // the slice that Memory returned; nil if the data was discarded
}

// NoResponders is the status of the message that the server sends to the reply subject when
// nothing is subscribed to the subject of a publish.
const NoResponders = "503"

// Conn is a connection and its subscriptions. Publish, Drain and Close may be called from any
// goroutine.
type Conn struct {
	conn          net.Conn
	reader        *bufio.Reader
	receiver      Receiver
	id            uint64
	maxPayload    int    // bytes of a message, with its headers
	subscriptions int    // their ids are 0, 1, …
	subject       string // of the last message; most messages have the same, which then needs no copy
	peers         peerReader
	opened        bool // Open has returned; set before Run
	received      atomic.Uint64
	draining      atomic.Bool

	writing sync.Mutex    // guards unsent and spare
	unsent  [][]byte      // blocks that the writer has not taken yet
	spare   [][]byte      // blocks to fill again
	wake    chan struct{} // holds one value while the writer must look for unsent blocks; never closed

	ended chan struct{} // closed by Close
	once  sync.Once     // runs Close
	wg    sync.WaitGroup
}

// Open logs in with the token and subscribes. Everything that is published to the subjects after it
// returns reaches the receiver, which Open and Run call. The net.Conn belongs to the Conn, which
// closes it, also if Open returns an error.
func Open(conn net.Conn, name, token string, subjects []string, receiver Receiver) (*Conn, error) {
	c := &Conn{
		conn:          conn,
		reader:        bufio.NewReaderSize(conn, readBuffer),
		receiver:      receiver,
		subscriptions: len(subjects),
		wake:          make(chan struct{}, 1),
		ended:         make(chan struct{}),
	}
	c.wg.Go(c.write)
	if err := c.open(name, token, subjects); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) open(name, token string, subjects []string) error {
	if err := c.conn.SetDeadline(time.Now().Add(openTimeout)); err != nil {
		return err
	}
	if err := c.readInfo(); err != nil {
		return err
	}
	options, err := json.Marshal(map[string]any{
		"name": name, "auth_token": token, "lang": "go", "version": "1", "protocol": 1,
		"headers": true, "no_responders": true, "verbose": false, "pedantic": false,
	})
	if err != nil {
		return err
	}
	for _, lines := range [][]byte{fmt.Appendf(nil, "CONNECT %s\r\n", options), subscribe(subjects)} {
		c.send(append(lines, ping...))
		if err := c.readUntilPong(); err != nil {
			return err
		}
	}
	c.opened = true
	return c.conn.SetDeadline(time.Time{})
}

// subscribe returns the lines that subscribe to the subjects; a subject's index is its id.
func subscribe(subjects []string) []byte {
	var lines []byte
	for id, subject := range subjects {
		lines = fmt.Appendf(lines, "SUB %s %d\r\n", subject, id)
	}
	return lines
}

// readInfo reads the server's first line.
func (c *Conn) readInfo() error {
	line, err := c.readLine()
	if err != nil {
		return err
	}
	text, found := bytes.CutPrefix(line, []byte("INFO "))
	if !found {
		return fmt.Errorf("the server's first line is %.64q, not INFO", line)
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

// ID returns the server's number for the connection.
func (c *Conn) ID() uint64 { return c.id }

// Received returns the number of messages received so far, those with discarded data included.
func (c *Conn) Received() uint64 { return c.received.Load() }

// Run reads until the connection ends, and returns why. It returns nil when Drain has completed.
func (c *Conn) Run() error {
	defer c.Close()
	err := c.readUntilPong() // only Drain sends a ping now
	if c.draining.Load() && err == nil {
		return nil
	}
	if err == nil {
		err = errors.New("the server sent PONG without a ping")
	}
	return err
}

// Drain ends the subscriptions. It does not wait: Run returns once everything that the server had
// routed before is received.
func (c *Conn) Drain() {
	c.draining.Store(true)
	var lines []byte
	for id := range c.subscriptions {
		lines = fmt.Appendf(lines, "UNSUB %d\r\n", id)
	}
	c.send(append(lines, ping...))
}

// Close ends the connection, and Run with it. It may be called twice.
func (c *Conn) Close() {
	c.once.Do(func() {
		close(c.ended)
		_ = c.conn.Close()
	})
	c.wg.Wait()
}
