// Package dial opens TCP connections, directly or through an HTTP proxy, and limits how long each step takes. It knows
// nothing of what a connection carries: TLS to its other end is up to the caller.
//
// The request to a proxy is written and read by net/http. That package opens tunnels too, but hands out none.
package dial

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxAnswer is how long the answer of a proxy may be, in bytes.
const maxAnswer = 64 << 10

// Dialer opens connections. It is a dialer of NATS's client library. Its methods are safe for concurrent use.
type Dialer struct {
	// Timeout is how long each step may take: until the socket is open, until the proxy has answered, and what the
	// caller does then. The connection has that deadline; NATS's client library clears it once it is connected. It does
	// not limit the TLS handshake of a WebSocket on its own.
	Timeout time.Duration
	Proxy   *url.URL       // from ParseProxy; nil: connections are direct
	Roots   *x509.CertPool // verify an https proxy; nil: the CAs of the machine
	Opened  func(net.Conn) // called with the socket of each connection, before a proxy is asked; nil: not called
}

// Dial opens a connection to an address. The proxy resolves the name in it.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	to := address
	if d.Proxy != nil {
		to = proxyAddress(d.Proxy)
	}
	socket, err := net.DialTimeout(network, to, d.Timeout)
	if err != nil {
		return nil, d.wrap(err)
	}
	if d.Opened != nil {
		d.Opened(socket)
	}
	d.limit(socket)
	if d.Proxy == nil {
		return socket, nil
	}
	conn, err := d.tunnel(socket, address)
	if err != nil {
		_ = socket.Close()
		return nil, d.wrap(err)
	}
	d.limit(socket)
	return conn, nil
}

// limit sets the deadline of the next step. It fails only if the socket is closed, as the next step does then.
func (d *Dialer) limit(socket net.Conn) { _ = socket.SetDeadline(time.Now().Add(d.Timeout)) }

// wrap adds to an error that it is about the proxy.
func (d *Dialer) wrap(err error) error {
	if d.Proxy == nil {
		return err
	}
	return fmt.Errorf("proxy %s: %w", ShowProxy(d.Proxy), err)
}

// tunnel asks the proxy at the other end of a socket to connect to an address.
func (d *Dialer) tunnel(socket net.Conn, address string) (net.Conn, error) {
	conn := socket
	if d.Proxy.Scheme == "https" {
		conn = tls.Client(socket, &tls.Config{
			ServerName: d.Proxy.Hostname(), RootCAs: d.Roots, MinVersion: tls.VersionTLS12,
		})
	}
	request := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address,
		Header: http.Header{"User-Agent": {"muster"}},
	}
	if user := d.Proxy.User; user != nil {
		password, _ := user.Password() // empty if there is none
		request.Header.Set("Proxy-Authorization",
			"Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, fmt.Errorf("read its answer to CONNECT %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, refused(address, response)
	}
	return withRest(conn, reader)
}

// refused returns the error of a proxy that does not connect to an address.
func refused(address string, response *http.Response) error {
	if response.StatusCode == http.StatusProxyAuthRequired {
		return fmt.Errorf("it requires another user and password for CONNECT %s, with the scheme Basic", address)
	}
	return fmt.Errorf("it answered %q to CONNECT %s", response.Status, address)
}

// withRest returns a connection from which what a reader has read ahead is read first.
func withRest(conn net.Conn, reader *bufio.Reader) (net.Conn, error) {
	rest, err := reader.Peek(reader.Buffered())
	if err != nil || len(rest) == 0 {
		return conn, err
	}
	return &readAhead{conn, io.MultiReader(bytes.NewReader(rest), conn)}, nil
}

// readAhead is a connection of which some bytes were read before.
type readAhead struct {
	net.Conn
	reader io.Reader
}

// Read implements net.Conn.
func (r *readAhead) Read(p []byte) (int, error) { return r.reader.Read(p) }
