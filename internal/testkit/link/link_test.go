package link

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/testkit/authority"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

// echo returns the address of a server that sends back what it reads.
func echo(t *testing.T, config *tls.Config) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if config != nil {
				conn = tls.Server(conn, config)
			}
			go func() { _, _ = io.Copy(conn, conn); _ = conn.Close() }()
		}
	}()
	return listener.Addr().String()
}

func newLink(t *testing.T, target string) *Link {
	t.Helper()
	l, err := New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func dial(t *testing.T, l *Link) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// answers reports whether a text comes back within a moment.
func answers(conn net.Conn, text string) error {
	if _, err := conn.Write([]byte(text)); err != nil {
		return err
	}
	back := make([]byte, len(text))
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := io.ReadFull(conn, back); err != nil {
		return err
	}
	if string(back) != text {
		return fmt.Errorf("%q came back", back)
	}
	return nil
}

// within limits how long reading takes.
func within(conn net.Conn) net.Conn {
	_ = conn.SetReadDeadline(time.Now().Add(wait.Limit))
	return conn
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestLink_CarriesBothWaysAndEndsAsItsEndsDo(t *testing.T) {
	l := newLink(t, echo(t, nil))
	conn := dial(t, l)
	sent := bytes.Repeat([]byte("0123456789"), 1<<20)
	go func() { _, _ = conn.Write(sent); _ = conn.CloseWrite() }()
	back, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(back, sent) {
		t.Fatalf("%d of %d bytes came back: %v", len(back), len(sent), err)
	}
	if n := l.Counts(); n.Bytes != [2]int64{int64(len(sent)), int64(len(sent))} || n.Connections != 1 || n.Reset != 0 {
		t.Errorf("%+v", n)
	}
}

func TestLink_DelaysWithoutLossOfThroughput(t *testing.T) {
	l := newLink(t, echo(t, nil))
	const delay, messages = 50 * time.Millisecond, 2000
	l.SetDelay(delay)
	conn := dial(t, l)
	started := time.Now()
	go func() {
		for n := range uint64(messages) {
			_ = binary.Write(conn, binary.BigEndian, n)
			time.Sleep(50 * time.Microsecond) // many chunks
		}
	}()
	for n := range uint64(messages) {
		var have uint64
		if err := binary.Read(conn, binary.BigEndian, &have); err != nil || have != n {
			t.Fatalf("%d, want %d: %v", have, n, err)
		}
		if n == 0 && time.Since(started) < 2*delay {
			t.Errorf("the first answer came after %s", time.Since(started))
		}
	}
	// One after the other, they would take 200 s.
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("%d messages took %s", messages, took)
	}
}

func TestLink_LimitsItsRate(t *testing.T) {
	l := newLink(t, echo(t, nil))
	const rate = 1 << 20
	l.SetRate(rate)
	conn := dial(t, l)
	started := time.Now()
	go func() { _, _ = conn.Write(make([]byte, rate/2)); _ = conn.CloseWrite() }()
	back, err := io.ReadAll(conn)
	if err != nil || len(back) != rate/2 || time.Since(started) < 450*time.Millisecond {
		t.Errorf("%d bytes after %s: %v", len(back), time.Since(started), err)
	}
}

func TestLink_CutResetsOldConnectionsAndRefusesNewOnes(t *testing.T) {
	l := newLink(t, echo(t, nil))
	old := dial(t, l)
	if err := answers(old, "before"); err != nil {
		t.Fatal(err)
	}
	l.Cut()
	if _, err := old.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the old connection: %v", err)
	}
	fresh, err := net.Dial("tcp", l.Address())
	if err == nil { // otherwise it was reset while it was opened
		err = answers(fresh, "new")
		_ = fresh.Close()
	}
	if err == nil || isTimeout(err) {
		t.Errorf("a new connection: %v", err)
	}
	wait.Eventually(t, func() error {
		if l.Counts().Refused != 1 {
			return fmt.Errorf("%+v", l.Counts())
		}
		return nil
	})
	l.Heal()
	if err := answers(dial(t, l), "healed"); err != nil {
		t.Error(err)
	}
	if n := l.Counts(); n.Reset != 1 || n.Refused != 1 || n.Connections != 2 {
		t.Errorf("%+v", n)
	}
}

func TestLink_SilenceKeepsConnectionsOpen(t *testing.T) {
	for name, c := range map[string]struct {
		begin     func(*Link)
		swallowed Direction
	}{
		"hole": {(*Link).Hole, Up},
		"up":   {func(l *Link) { l.Half(Up) }, Up},
		"down": {func(l *Link) { l.Half(Down) }, Down},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(t, echo(t, nil))
			idle, used := dial(t, l), dial(t, l)
			for _, conn := range []net.Conn{idle, used} {
				if err := answers(conn, "before"); err != nil {
					t.Fatal(err)
				}
			}
			c.begin(l)
			if err := answers(used, "lost"); !isTimeout(err) {
				t.Errorf("a used connection: %v", err)
			}
			fresh := dial(t, l)
			if err := answers(fresh, "hangs"); !isTimeout(err) {
				t.Errorf("a new connection: %v", err)
			}
			l.Heal()
			if err := answers(used, "still lost"); !isTimeout(err) {
				t.Errorf("a used connection after the hole: %v", err)
			}
			if err := answers(idle, "idle"); err != nil {
				t.Errorf("an idle connection after the hole: %v", err)
			}
			if back, err := io.ReadAll(io.LimitReader(within(fresh), 5)); err != nil || string(back) != "hangs" {
				t.Errorf("the new connection after the hole: %q %v", back, err)
			}
			if err := answers(dial(t, l), "healed"); err != nil {
				t.Error(err)
			}
			if n := l.Counts(); n.Swallowed[c.swallowed] == 0 || n.Hung != 1 || n.Connections != 4 || n.Reset != 0 {
				t.Errorf("%+v", n)
			}
		})
	}
}

func TestLink_StallDelivers(t *testing.T) {
	l := newLink(t, echo(t, nil))
	conn := dial(t, l)
	if err := answers(conn, "before"); err != nil {
		t.Fatal(err)
	}
	l.Stall()
	if err := answers(conn, "held"); !isTimeout(err) {
		t.Errorf("during the stall: %v", err)
	}
	fresh := dial(t, l)
	if err := answers(fresh, "fresh"); !isTimeout(err) {
		t.Errorf("a new connection: %v", err)
	}
	l.Heal()
	for c, want := range map[net.Conn]string{conn: "held", fresh: "fresh"} {
		back := make([]byte, len(want))
		if _, err := io.ReadFull(within(c), back); err != nil || string(back) != want {
			t.Errorf("%q, want %q: %v", back, want, err)
		}
	}
	if l.Counts().Held[Up] == 0 {
		t.Errorf("%+v", l.Counts())
	}
}

func TestLink_CorruptionEndsTLS(t *testing.T) {
	ca := authority.New(t, time.Now())
	certificate, err := tls.X509KeyPair(pair(ca.Pair(nil, "hub")))
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(t, echo(t, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}))
	conn := tls.Client(dial(t, l), &tls.Config{RootCAs: ca.Pool(), ServerName: "hub", MinVersion: tls.VersionTLS12})
	if err := answers(conn, "before"); err != nil {
		t.Fatal(err)
	}
	l.Corrupt()
	if err := answers(conn, "damaged"); err == nil || isTimeout(err) {
		t.Errorf("%v", err)
	}
	if l.Counts().Flipped == 0 {
		t.Errorf("%+v", l.Counts())
	}
}

func pair(certificate, key string) ([]byte, []byte) { return []byte(certificate), []byte(key) }

func TestLink_CloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	target, err := net.Listen("tcp", "127.0.0.1:0") // it never accepts
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for _, begin := range []func(*Link){(*Link).Heal, (*Link).Hole, (*Link).Stall} {
		l := newLink(t, target.Addr().String())
		l.SetDelay(time.Hour)
		begin(l)
		for range 3 {
			_, _ = dial(t, l).Write(make([]byte, 1<<20))
		}
		l.Close()
		l.Close()
	}
	wait.Eventually(t, func() error { // the runtime may end one of its own later
		if after := runtime.NumGoroutine(); after > before {
			return fmt.Errorf("%d goroutines before, %d after", before, after)
		}
		return nil
	})
}

func TestLink_RefusesWhileTheTargetIsAway(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = target.Close()
	l := newLink(t, target.Addr().String())
	if err := answers(dial(t, l), "hello"); err == nil || isTimeout(err) {
		t.Errorf("%v", err)
	}
	if n := l.Counts(); n.Refused != 1 || n.Connections != 0 {
		t.Errorf("%+v", n)
	}
}
