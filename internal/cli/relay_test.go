package cli

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// echo says something over a connection to the relay, and returns an error unless it comes back.
func echo(t *testing.T, r *relay) (net.Conn, error) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, "ping"); err != nil {
		return conn, err
	}
	_, err = io.ReadFull(conn, make([]byte, len("ping")))
	return conn, err
}

func TestRelay_CutEndsConnections(t *testing.T) {
	hub, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	go func() {
		for {
			conn, err := hub.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	r, err := newRelay(hub.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	open, err := echo(t, r)
	if err != nil || r.down() {
		t.Fatalf("%v, down %v", err, r.down())
	}
	r.cut()
	if _, err := open.Read(make([]byte, 1)); err == nil || !r.down() {
		t.Errorf("the connection is open: %v, down %v", err, r.down())
	}
	if _, err := echo(t, r); err == nil {
		t.Error("a connection was made during the cut")
	}
	r.restore()
	if _, err := echo(t, r); err != nil || r.down() {
		t.Errorf("after the cut: %v, down %v", err, r.down())
	}
}
