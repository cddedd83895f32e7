package broker

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/nats-io/nats.go"
)

// webSocketConn sends and receives over WebSocket, as NATS does between leaf nodes. The key that masks what it sends is
// zero.
type webSocketConn struct {
	net.Conn
	read *bufio.Reader
	left int // bytes of the frame that are not read yet
}

// upgradeLeaf connects to a port for WebSocket as a leaf node.
func upgradeLeaf(to string, config *tls.Config) (net.Conn, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "wss" {
		conn = tls.Client(conn, config)
	}
	_, err = io.WriteString(conn, "GET /leafnode HTTP/1.1\r\nHost: "+u.Host+"\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	read := bufio.NewReader(conn)
	response, err := http.ReadResponse(read, nil)
	if err == nil && response.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("status %s", response.Status)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &webSocketConn{Conn: conn, read: read}, nil
}

// Read reads from the frames of the server, which are not masked.
func (c *webSocketConn) Read(p []byte) (int, error) {
	for c.left == 0 {
		head := make([]byte, 2)
		if _, err := io.ReadFull(c.read, head); err != nil {
			return 0, err
		}
		c.left = int(head[1])
		if more := map[int]int{126: 2, 127: 8}[c.left]; more > 0 {
			size := make([]byte, 8)
			if _, err := io.ReadFull(c.read, size[8-more:]); err != nil {
				return 0, err
			}
			c.left = int(binary.BigEndian.Uint64(size))
		}
		if head[0]&0xf == 8 {
			return 0, io.EOF // the server closes the connection
		}
	}
	n, err := c.read.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// Write writes a frame.
func (c *webSocketConn) Write(p []byte) (int, error) {
	frame := append([]byte{0x82, 0x80 | 127}, binary.BigEndian.AppendUint64(nil, uint64(len(p)))...)
	frame = append(frame, 0, 0, 0, 0)
	if _, err := c.Conn.Write(append(frame, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// dialAsLeafOverWebSocket is the dialer of leaf nodes of the port for WebSocket.
func dialAsLeafOverWebSocket(s *site, options ...nats.Option) (*dialed, error) {
	return dialLeafAt(s, s.websocketURL(), options)
}

// dialLeafAt connects as a leaf node to a URL, and presents what the options say.
func dialLeafAt(s *site, to string, options []nats.Option) (*dialed, error) {
	o := applied(s.t, options)
	config := o.TLSConfig
	if config != nil {
		config = config.Clone()
		config.ServerName = "127.0.0.1"
	}
	conn, err := upgradeLeaf(to, config)
	if err != nil {
		return nil, err
	}
	l := newHostileLeaf(s.t, conn)
	line, err := l.read.ReadString('\n')
	if err != nil {
		return nil, err
	}
	return l.present(o, nonceIn(line), nil).admission()
}
