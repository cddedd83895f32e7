package adversary

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
)

const (
	dialTimeout = 5 * time.Second
	// heldConnections is how many connections of one kind are held.
	heldConnections = 20
)

// violations connects as the node and sends what is not part of the protocol.
func (a *Adversary) violations(context.Context) (n int, err error) {
	long := strings.Repeat("x", 200_000)
	for _, text := range []string{
		"PUB " + long + " 1\r\nx\r\n",
		"PUB " + simnode.Subject + " 999999999\r\n", "PUB " + simnode.Subject + " -1\r\n\r\n",
		"HPUB " + simnode.Subject + " 10 5\r\n", "HPUB " + simnode.Subject + " 5 5\r\nhello\r\n", "MSG x 1 1\r\nx\r\n",
		"SUB > 1\r\nSUB $SYS.> 2\r\nSUB choria.node_metadata.> 3\r\n", "RS+ $G x\r\n", "LS+ x\r\n", "CONNECT {\r\n",
		"+OK\r\n", "-ERR 'x'\r\n", "INFO {\"max_payload\":1}\r\n", "PING\r\nPING\r\n", "\x00\x00\r\n", long,
	} {
		conn, failed := a.rawNode()
		if failed != nil {
			err = failed
			continue
		}
		if _, failed = io.WriteString(conn, text+"PING\r\n"); failed == nil {
			n++
		}
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
	return n, err
}

// rawNode returns a TLS connection that has authenticated with the node's certificate.
func (a *Adversary) rawNode() (net.Conn, error) {
	raw, err := net.DialTimeout("tcp", a.broker, dialTimeout)
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(dialTimeout))
	if _, err := bufio.NewReaderSize(raw, 16).ReadString('\n'); err != nil { // INFO; nothing follows it
		return nil, errors.Join(err, raw.Close())
	}
	options := nats.GetDefaultOptions()
	for _, set := range a.rsa.Options(Name, a.o.Site.Roots()) {
		if err := set(&options); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
	}
	host, _, _ := net.SplitHostPort(a.broker)
	config := options.TLSConfig.Clone()
	config.ServerName = host
	conn := tls.Client(raw, config)
	if _, err := fmt.Fprintf(conn, "CONNECT {\"name\":%q,\"verbose\":false,\"headers\":true}\r\n", Name); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	_ = raw.SetDeadline(time.Time{})
	return conn, nil
}

// halfOpen opens connections that send nothing, or only the beginning of a handshake.
func (a *Adversary) halfOpen(context.Context) (n int, err error) {
	for i := range heldConnections {
		conn, failed := net.DialTimeout("tcp", a.broker, dialTimeout)
		if failed != nil {
			err = failed
			continue
		}
		a.hold(conn)
		if i%2 == 0 {
			_, _ = conn.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3})
		}
		n++
	}
	return n, err
}

// churn connects and disconnects: as itself, and under the names of honest nodes.
func (a *Adversary) churn(ctx context.Context) (n int, err error) {
	for i := range 2 * len(a.attacks) {
		if ctx.Err() != nil {
			break
		}
		credentials, name := a.node, Name
		if i%2 == 0 {
			credentials, name = a.rsa, a.victim()
		}
		nc, failed := nats.Connect("nats://"+a.broker, append(credentials.Options(name, a.o.Site.Roots()), quiet()...)...)
		if failed != nil {
			err = failed
			continue
		}
		nc.Close()
		n++
	}
	return n, err
}

// subscriptions subscribes to subjects that cost the server memory: many, long and deep ones.
func (a *Adversary) subscriptions(context.Context) (n int, err error) {
	long, deep := strings.Repeat("x", 8<<10), strings.Repeat("a.", 4<<10)
	for range 2 {
		conn, failed := a.rawNode()
		if failed != nil {
			err = failed
			continue
		}
		a.hold(conn)
		_ = conn.SetWriteDeadline(time.Now().Add(dialTimeout))
		for i := range a.o.Flood / 10 {
			const sub = "SUB mcollective.broadcast.agent."
			_, failed := fmt.Fprintf(conn, sub+"%d%s %d\r\n"+sub+"%d.%sb %d\r\n", i, long, 2*i, i, deep, 2*i+1)
			if failed != nil {
				err = failed
				break
			}
			n++
		}
	}
	return n, err
}

// ownConnections connects as the node, again and again.
func (a *Adversary) ownConnections(context.Context) (n int, err error) {
	for range a.o.Flood / 50 {
		conn, failed := a.rawNode()
		if failed != nil {
			err = failed
			continue
		}
		a.hold(conn)
		n++
	}
	return n, err
}

// slowReaders subscribe to what a node may read, publish there if they may, and read nothing.
func (a *Adversary) slowReaders(context.Context) (n int, err error) {
	for range 5 {
		conn, failed := a.rawNode()
		if failed != nil {
			err = failed
			continue
		}
		a.hold(conn)
		_, failed = fmt.Fprintf(conn, "SUB mcollective.broadcast.agent.> 1\r\nSUB mcollective.node.%s 2\r\n", Name)
		if failed != nil {
			err = failed
			continue
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(conn, strings.Repeat("PING\r\n", 10_000)) // whose answers it does not read
		n++
	}
	return n, err
}
