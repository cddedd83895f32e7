package broker

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// hostileHub listens for a leaf node, and then does what hostileLeaf does. It allows the leaf node everything.
type hostileHub struct {
	address string
	linked  chan *hostileLeaf // has the first connection
}

// newHostileHub listens until the test ends, with a certificate of the authority.
func newHostileHub(t *testing.T, ca *authority.Authority) *hostileHub {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	h := &hostileHub{address: listener.Addr().String(), linked: make(chan *hostileLeaf, 1)}
	config := ca.Client(nil, "hub.example.net")
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		const info = `INFO {"server_id":"HUB","server_name":"hub","version":"2.15.2","proto":3,"headers":true,` +
			`"max_payload":1048576,"client_id":1,"nonce":"0123456789","info_on_connect":true,"jetstream":true,` +
			`"tls_required":true,"leafnode_urls":["127.0.0.1:1"]%s}`
		_, _ = io.WriteString(conn, fmt.Sprintf(info, "")+"\r\n")
		secure := tls.Server(conn, config)
		l := &hostileLeaf{t: t, conn: secure, read: bufio.NewReader(secure)}
		go l.readLines()
		l.send(info, `,"connect_info":true,"remote_account":"choria","import":{"allow":[">"]},"export":{"allow":[">"]}`)
		h.linked <- l
	}()
	return h
}

// TestLeafRemote_AHostileHubGetsOnlyWhatCrosses connects to a hub that subscribes to everything and publishes
// everything: what is allowed at this end decides.
func TestLeafRemote_AHostileHubGetsOnlyWhatCrosses(t *testing.T) {
	t.Parallel()
	for _, allowed := range []Crossing{CrossNodes, CrossClients, CrossBoth} {
		t.Run(string(allowed), func(t *testing.T) {
			t.Parallel()
			accepting := openAccepting(t, CrossBoth) // for its authority
			h := newHostileHub(t, accepting.ca)
			leaf := openLeaf(t, accepting, leafName, allowed, func(_ *Config, r *LeafRemote) {
				r.URLs = []string{"tls://" + h.address}
			})
			l := <-h.linked
			t.Cleanup(func() { _ = l.conn.Close() })
			waitLinked(t, leaf)
			for _, subject := range []string{">", "*.>", "*.*.>", "$JS.>", "$SYS.>", "_R_.>", "_INBOX.>", "choria.>"} {
				l.send("LS+ %s", subject)
			}
			l.flush()
			nc := internalConn(t, leaf.broker)
			arrived := collect(t, nc, ">")
			for _, try := range leafTries {
				l.publish(try.subject, "tried")
				l.publish(try.subject+" mcollective.reply.x", "tried")
			}
			l.flush()
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			got := arrived()
			slices.Sort(got)
			want := crossesToConnections(allowed.receives(), allowed.sends())
			if got := slices.Compact(got); !slices.Equal(got, want) {
				t.Errorf("arrived: %q, want %q", got, want)
			}
			publishTries(t, leaf, nc, "secret")
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			l.wantRead(crosses(allowed.sends(), allowed.receives()))
		})
	}
}

// wantRead waits until these subjects have arrived, and requires that no others have.
func (l *hostileLeaf) wantRead(want []string) {
	l.t.Helper()
	wait.Eventually(l.t, func() error {
		l.flush()
		var got []string
		for _, line := range l.seen("LMSG ") {
			got = append(got, strings.Fields(line)[1]+" tried")
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			return fmt.Errorf("read %q, want %q", got, want)
		}
		return nil
	})
}
