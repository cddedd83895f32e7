package broker

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
)

// leafPeers are the leaf nodes that sites with all listeners accept.
func leafPeers() map[string]Crossing {
	peers := map[string]Crossing{leafName: CrossBoth}
	for _, name := range []string{
		"web1", "web2", "web3", "web4", "web1.example.net", "dns.example.net", "rip.mcollective", "root.example.net",
		"choria=rip", "web.>", "*",
	} {
		peers[name] = CrossNodes
	}
	return peers
}

// leafName is the name in the certificate of the broker that connects as a leaf node.
const leafName = "collector1.ams.example.net"

// openAccepting runs a site that accepts leafName as a leaf node, for what is allowed.
func openAccepting(t *testing.T, allowed Crossing) *site {
	t.Helper()
	return openSite(t, func(c *Config) { acceptLeafnode(c, allowed) })
}

func acceptLeafnode(c *Config, allowed Crossing) {
	c.Leafnodes.Listen = "127.0.0.1:0"
	c.Leafnodes.Peers = map[string]Crossing{leafName: allowed}
}

// openLeaf runs a site that connects to another one under a name, for what is allowed. Both have one CA.
func openLeaf(t *testing.T, to *site, name string, allowed Crossing, edit func(*Config, *LeafRemote)) *site {
	t.Helper()
	return openSiteWith(t, func(s *site, c *Config, o *Options) {
		dir := t.TempDir()
		s.ca = to.ca
		s.ca.Files(dir, nil, name)
		c.TLS = filesIn(dir)
		o.Name = name
		r := newLeafRemote("hub")
		r.URLs, r.Allow = []string{"tls://" + to.broker.leafAddress()}, allowed
		c.Leafnodes.Remotes = map[string]*LeafRemote{"hub": r}
		if edit != nil {
			edit(c, r)
		}
	})
}

// waitLinked waits until all links of the sites are connected.
func waitLinked(t *testing.T, sites ...*site) {
	t.Helper()
	for _, s := range sites {
		wait.Eventually(t, func() error {
			for _, l := range s.broker.Links() {
				if !l.Connected {
					return fmt.Errorf("%+v\n%s", l, s.log)
				}
			}
			return nil
		})
	}
}

// hostileLeaf speaks the protocol of leaf nodes, and keeps to none of its rules.
type hostileLeaf struct {
	t    *testing.T
	conn net.Conn
	read *bufio.Reader

	mu     sync.Mutex
	lines  []string // that the server has sent
	closed bool
}

// dialLeaf connects to the leaf node port of a site until the test ends, and presents what the options say. connect is
// added to that.
func (s *site) dialLeaf(connect map[string]any, options ...nats.Option) *hostileLeaf {
	s.t.Helper()
	o := applied(s.t, options)
	conn, err := net.Dial("tcp", s.broker.leafAddress())
	if err != nil {
		s.t.Fatal(err)
	}
	l := newHostileLeaf(s.t, conn)
	line, _ := l.read.ReadString('\n')
	if o.TLSConfig != nil {
		config := o.TLSConfig.Clone()
		config.ServerName = "127.0.0.1"
		l.conn = tls.Client(conn, config)
		l.read = bufio.NewReader(l.conn)
	}
	return l.present(o, nonceIn(line), connect)
}

// applied returns the options of a connection.
func applied(t *testing.T, options []nats.Option) *nats.Options {
	t.Helper()
	var o nats.Options
	for _, option := range options {
		if err := option(&o); err != nil {
			t.Fatal(err)
		}
	}
	return &o
}

// newHostileLeaf returns a leaf node of a connection, which it closes when the test ends.
func newHostileLeaf(t *testing.T, conn net.Conn) *hostileLeaf {
	t.Helper()
	l := &hostileLeaf{t: t, conn: conn, read: bufio.NewReader(conn)}
	t.Cleanup(func() { _ = l.conn.Close() })
	return l
}

// nonceIn returns the nonce in the first line of a server.
func nonceIn(line string) string {
	var info struct {
		Nonce string `json:"nonce"`
	}
	_ = json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info)
	return info.Nonce
}

// present begins to read, and presents what the options say. connect is added to that.
func (l *hostileLeaf) present(o *nats.Options, nonce string, connect map[string]any) *hostileLeaf {
	l.t.Helper()
	go l.readLines()
	l.send("CONNECT %s", presented(l.t, o, nonce, connect))
	return l
}

// presented returns the JSON that a leaf node presents: what NATS's servers and the options say, and connect.
func presented(t *testing.T, o *nats.Options, nonce string, connect map[string]any) []byte {
	t.Helper()
	all := map[string]any{
		"headers": true, "version": "2.15.2", "protocol": 2, "name": cmp.Or(o.Name, "hostile"),
		"user": cmp.Or(o.User, o.Token), "pass": o.Password, "auth_token": o.Token, "nkey": o.Nkey,
	}
	if o.SignatureCB != nil {
		signature, err := o.SignatureCB([]byte(nonce))
		if err != nil {
			t.Fatal(err)
		}
		all["sig"] = base64.RawURLEncoding.EncodeToString(signature)
	}
	maps.Copy(all, connect)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// dialAsLeaf is the dialer of the port for leaf nodes.
func dialAsLeaf(s *site, options ...nats.Option) (*dialed, error) {
	return s.dialLeaf(nil, options...).admission()
}

// admission waits until the server has admitted or refused the leaf node.
func (l *hostileLeaf) admission() (*dialed, error) {
	l.t.Helper()
	wait.Eventually(l.t, func() error {
		if !l.ended() && !l.admitted() {
			return errors.New("neither admitted nor refused")
		}
		return nil
	})
	if !l.admitted() {
		return nil, errors.New("refused")
	}
	return &dialed{user: l.user, ended: l.ended, close: func() { _ = l.conn.Close() }}, nil
}

// admitted reports whether the server has admitted the leaf node.
func (l *hostileLeaf) admitted() bool { return len(l.seen("remote_account")) > 0 }

// user returns the name of the leaf node in whose account the connection is.
func (l *hostileLeaf) user(t *testing.T) string {
	t.Helper()
	for name := range leafPeers() {
		if len(l.seen(leafAccount("peer", name))) > 0 {
			return name
		}
	}
	return ""
}

func (l *hostileLeaf) readLines() {
	for {
		line, err := l.read.ReadString('\n')
		l.mu.Lock()
		l.closed = l.closed || err != nil
		l.lines = append(l.lines, strings.TrimRight(line, "\r\n"))
		l.mu.Unlock()
		if err != nil {
			return
		}
		if strings.HasPrefix(line, "PING") {
			l.send("PONG")
		}
	}
}

// send sends a line. An error means that the server has closed the connection.
func (l *hostileLeaf) send(format string, args ...any) {
	_, _ = io.WriteString(l.conn, fmt.Sprintf(format, args...)+"\r\n")
}

// publish sends a message to a subject, which may be followed by a reply subject.
func (l *hostileLeaf) publish(subject, payload string) {
	l.send("LMSG %s %d\r\n%s", subject, len(payload), payload)
}

// ended reports whether the server has closed the connection.
func (l *hostileLeaf) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// seen returns the lines of the server so far that contain a text.
func (l *hostileLeaf) seen(text string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// flush waits until the server has read all that was sent, and the answer has arrived.
func (l *hostileLeaf) flush() {
	l.t.Helper()
	before := len(l.seen("PONG"))
	l.send("PING")
	wait.Eventually(l.t, func() error {
		if len(l.seen("PONG")) == before && !l.ended() {
			return fmt.Errorf("no answer; the lines are %q", l.seen(""))
		}
		return nil
	})
}

// subscribe subscribes a connection, and returns what has arrived so far when it is called.
func collect(t *testing.T, nc *nats.Conn, subjects ...string) (arrived func() []string) {
	t.Helper()
	return collectTexts(t, nc, func(m *nats.Msg) string { return m.Subject + " " + string(m.Data) }, subjects...)
}

// collectTexts does what collect does, with the text of each message in its place. It calls text for one message at a
// time.
func collectTexts(
	t *testing.T, nc *nats.Conn, text func(*nats.Msg) string, subjects ...string,
) (arrived func() []string) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	for _, subject := range subjects {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, text(m))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
}
