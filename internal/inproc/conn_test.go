package inproc

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// inbox remembers what it was given, and has no room for messages above a size.
type inbox struct {
	most int
	got  []string
}

func (i *inbox) Buffer(size int) []byte {
	if size > i.most {
		return nil
	}
	return make([]byte, size)
}

func (i *inbox) Receive(m Message) {
	switch {
	case m.Status != "":
		i.got = append(i.got, m.Subject+" status "+m.Status)
	case m.Data == nil:
		i.got = append(i.got, fmt.Sprintf("%s %d", m.Subject, m.Size))
	default:
		i.got = append(i.got, fmt.Sprintf("%s %d %s", m.Subject, m.Size, m.Data))
	}
}

// server is the other end: it answers the introduction and then says what the test wants.
type server struct {
	conn  net.Conn
	lines *bufio.Reader
}

const info = `INFO {"server_id":"S","client_id":42,"headers":true,"max_payload":1000}` + "\r\n"

func (s *server) read(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		line, err := s.lines.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, w) {
			t.Errorf("the server reads %q, %v; want %q", line, err, w)
		}
	}
}

func (s *server) say(text string) { _, _ = io.WriteString(s.conn, text) }

// open opens a connection with two subjects; before is what the server says before it is ready.
func open(t *testing.T, to *inbox, before string) (*Conn, *server) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = theirs.Close() })
	s := &server{conn: theirs, lines: bufio.NewReader(theirs)}
	go func() {
		s.say(info)
		s.read(t, "CONNECT {", "PING")
		s.say("+OK\r\nINFO {}\r\nPONG\r\n")
		s.read(t, "SUB a.> 0\r\n", "SUB b 1\r\n", "PING")
		s.say(before + "PONG\r\n")
	}()
	conn, err := Open(ours, "test", "secret", []string{"a.>", "b"}, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn, s
}

func TestMessagesComeWhateverTheirShape(t *testing.T) {
	to := &inbox{most: 100}
	conn, s := open(t, to, "MSG a.early 0 5\r\nhello\r\n")
	if conn.ID() != 42 {
		t.Errorf("the id is %d", conn.ID())
	}
	go func() {
		s.say("MSG a.x 0 2\r\nhi\r\nMSG a.x 0 reply.to 0\r\n\r\nPING\r\n")
		s.read(t, "PONG")
		for _, piece := range []string{"HMSG b 1 12 1", "5\r\nNATS/1.0\r\n", "\r\nabc", "\r\nMSG a.long 0 200\r\n"} {
			s.say(piece)
		}
		s.say(strings.Repeat("z", 200) + "\r\nHMSG b 1 reply 12 212\r\nNATS/1.0\r\n\r\n" + strings.Repeat("z", 200) + "\r\n")
		s.say("HMSG b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nMSG b 1 4\r\nlast\r\n")
		_ = s.conn.Close()
	}()
	if err := conn.Run(); err != io.EOF {
		t.Errorf("it ends with %v", err)
	}
	want := []string{"a.early 5 hello", "a.x 2 hi", "a.x 0 ", "b 3 abc", "a.long 200", "b 200", "b status 503", "b 4 last"}
	if strings.Join(to.got, "|") != strings.Join(want, "|") || conn.Received() != uint64(len(want)) {
		t.Errorf("%d received: %q", conn.Received(), to.got)
	}
}

func TestDrainEndsWhenWhatWasRoutedHasCome(t *testing.T) {
	to := &inbox{most: 100}
	conn, s := open(t, to, "")
	go func() {
		s.read(t, "UNSUB 0\r\n", "UNSUB 1\r\n", "PING")
		s.say("MSG a.x 0 4\r\nlate\r\nPONG\r\n")
	}()
	conn.Drain()
	if err := conn.Run(); err != nil || len(to.got) != 1 {
		t.Errorf("it ends with %v, and %q", err, to.got)
	}
	conn.Close() // again
}

func TestWhatMakesNoSenseEndsTheConnection(t *testing.T) {
	for _, said := range []string{
		"-ERR 'Slow Consumer'\r\n", "WHAT\r\n", "MSG\r\n", "MSG a.x 0\r\n", "MSG a.x 0 -1\r\n", "MSG a.x 0 many\r\n",
		"HMSG b 1 12\r\n", "HMSG b 1 20 15\r\n", "PONG\r\n", "MSG a.x 0 5\r\nshort", strings.Repeat("x", readBuffer+1),
	} {
		to := &inbox{most: 100}
		conn, s := open(t, to, "")
		go func() { s.say(said); _ = s.conn.Close() }()
		done := make(chan error)
		go func() { done <- conn.Run() }()
		select {
		case err := <-done:
			if err == nil || len(to.got) != 0 || conn.Received() != 0 {
				t.Errorf("%.40q: %v, %q", said, err, to.got)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%.40q does not end it", said)
		}
	}
}

func TestAServerThatDoesNotLetItInIsAnError(t *testing.T) {
	for _, said := range []string{"HELLO\r\n", "INFO {\r\n", "", info + "-ERR 'Authorization Violation'\r\n"} {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = io.WriteString(theirs, said)
			_ = theirs.Close()
		}()
		if _, err := Open(ours, "test", "", nil, &inbox{}); err == nil {
			t.Errorf("%q: no error", said)
		}
	}
}

func TestWhatIsPublishedComesAsItWasWritten(t *testing.T) {
	conn, s := open(t, &inbox{}, "")
	done := make(chan error, 1)
	go func() { done <- conn.Run() }()
	header := Begin(nil).Add("A", "one").Add("Long", " two\r\nlines ").End()
	for range 3 {
		if err := conn.Publish("to.x", "answer.1", header, []byte("data")); err != nil {
			t.Fatal(err)
		}
		s.read(t, "HPUB to.x answer.1 38 42\r\n", "NATS/1.0\r\n", "A: one\r\n", "Long: two  lines\r\n", "\r\n", "data\r\n")
	}
	if err := conn.Publish("to.x", "answer.1", header, make([]byte, 1000)); err != ErrTooLarge {
		t.Errorf("too large: %v", err)
	}
	conn.Close()
	if err := <-done; err == nil {
		t.Error("a closed connection goes on")
	}
	if err := conn.Publish("to.x", "answer.1", header, nil); err != ErrClosed {
		t.Errorf("closed: %v", err)
	}
}
