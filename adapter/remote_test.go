package adapter

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// startUnresponsiveNATS starts a server that sends INFO, answers the first ping, and never reads again. It
// returns its address.
func startUnresponsiveNATS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			fmt.Fprint(c, `INFO {"server_id":"x","version":"2.15.2","proto":1,"headers":true,"max_payload":1048576}`+"\r\n")
			for lines := bufio.NewReaderSize(c, 16); ; {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				if strings.HasPrefix(line, "PING") {
					fmt.Fprint(c, "PONG\r\n")
					break
				}
			}
		}
	}()
	return l.Addr().String()
}

func TestRemote_HungPublishDoesNotBlockTheAdapter(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Stream.Servers = []string{startUnresponsiveNATS(t)}
	a, b := openWith(t, cfg, 256<<20)
	publish(t, b, 400, make([]byte, 40<<10), false) // more than the socket's buffers hold
	waitReceived(t, a, 400)
	// A hanging publish holds the connection's lock, so connected() blocks.
	wait.Eventually(t, func() error {
		free := make(chan struct{})
		go func() { a.streamPublisher.transport.connected(); close(free) }()
		select {
		case <-free:
			return errors.New("no publish hangs")
		case <-time.After(300 * time.Millisecond):
			return nil
		}
	})
	// Meanwhile Stats and Fault return, and messages are received.
	asking := make(chan struct{})
	go func() { close(asking); a.Connected() }()
	<-asking
	time.Sleep(50 * time.Millisecond) // until Connected waits for the connection's lock
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		a.Stats()
		_ = a.Fault()
		publish(t, b, 10, []byte("{}"), false)
	}()
	select {
	case <-answered:
	case <-time.After(writeTimeout / 2):
		t.Fatal("a publish that hangs blocks the ledger")
	}
	waitReceived(t, a, 410)
	if s := a.Stats(); s.Received != 410 || s.Pending != 410 || !s.Balanced() {
		t.Errorf("have %+v", s)
	}
}
