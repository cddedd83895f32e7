package broker

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// TestLinks_AcceptedConnectionsAreNotThoseOfRemotes fails a handshake at the port for leaf nodes from the port of a
// remote: the remote has a host name, which may have any address.
func TestLinks_AcceptedConnectionsAreNotThoseOfRemotes(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	from := free.Addr().(*net.TCPAddr)
	s := openSite(t, func(c *Config) {
		acceptLeafnode(c, CrossNodes)
		r := newLeafRemote("hub")
		r.URLs, r.Allow = []string{fmt.Sprintf("tls://localhost:%d", from.Port)}, CrossClients
		c.Leafnodes.Remotes["hub"] = r
	})
	conn, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", s.broker.leafAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil { // INFO, which is not encrypted
		t.Fatal(err)
	}
	others := authority.New(t, time.Now()).Pool()
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "127.0.0.1", RootCAs: others}
	if err := tls.Client(conn, config).Handshake(); err == nil {
		t.Fatal("the certificate of an unknown CA was accepted")
	}
	wait.Eventually(t, func() error {
		l := s.broker.Links()[1]
		if n := s.broker.auth.refusals.snapshot()["handshake"]; n != 1 || !strings.Contains(l.Error, "connection refused") {
			return fmt.Errorf("%d failed handshakes were counted; the remote: %+v", n, l)
		}
		return nil
	})
}
