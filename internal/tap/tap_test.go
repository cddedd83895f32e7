package tap

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

func (i *inbox) Room(size int) []byte {
	if size > i.most {
		return nil
	}
	return make([]byte, size)
}

func (i *inbox) Receive(subject string, size int, data []byte) {
	if data == nil {
		i.got = append(i.got, fmt.Sprintf("%s %d", subject, size))
		return
	}
	i.got = append(i.got, fmt.Sprintf("%s %d %s", subject, size, data))
}

// server is the other end: it answers the introduction and then says what the test wants.
type server struct {
	conn  net.Conn
	lines *bufio.Reader
}

const info = `INFO {"server_id":"S","client_id":42,"headers":true}` + "\r\n"

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

// open opens a tap on two subjects; before is what the server says before it is ready.
func open(t *testing.T, to *inbox, before string) (*Tap, *server) {
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
	tapped, err := Open(ours, "test", "secret", []string{"a.>", "b"}, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tapped.Close)
	return tapped, s
}

func TestMessagesComeWhateverTheirShape(t *testing.T) {
	to := &inbox{most: 100}
	tapped, s := open(t, to, "MSG a.early 0 5\r\nhello\r\n")
	if tapped.ID() != 42 {
		t.Errorf("the id is %d", tapped.ID())
	}
	go func() {
		s.say("MSG a.x 0 2\r\nhi\r\nMSG a.x 0 reply.to 0\r\n\r\nPING\r\n")
		s.read(t, "PONG")
		for _, piece := range []string{"HMSG b 1 12 1", "5\r\nNATS/1.0\r\n", "\r\nabc", "\r\nMSG a.long 0 200\r\n"} {
			s.say(piece)
		}
		s.say(strings.Repeat("z", 200) + "\r\nHMSG b 1 reply 12 212\r\nNATS/1.0\r\n\r\n" + strings.Repeat("z", 200) + "\r\n")
		s.say("MSG b 1 4\r\nlast\r\n")
		_ = s.conn.Close()
	}()
	if err := tapped.Run(); err != io.EOF {
		t.Errorf("it ends with %v", err)
	}
	want := []string{"a.early 5 hello", "a.x 2 hi", "a.x 0 ", "b 3 abc", "a.long 200", "b 200", "b 4 last"}
	if strings.Join(to.got, "|") != strings.Join(want, "|") || tapped.Received() != uint64(len(want)) {
		t.Errorf("%d received: %q", tapped.Received(), to.got)
	}
}

func TestDrainEndsWhenWhatWasRoutedHasCome(t *testing.T) {
	to := &inbox{most: 100}
	tapped, s := open(t, to, "")
	go func() {
		s.read(t, "UNSUB 0\r\n", "UNSUB 1\r\n", "PING")
		s.say("MSG a.x 0 4\r\nlate\r\nPONG\r\n")
	}()
	tapped.Drain()
	if err := tapped.Run(); err != nil || len(to.got) != 1 {
		t.Errorf("it ends with %v, and %q", err, to.got)
	}
	tapped.Close() // again
}

func TestWhatMakesNoSenseEndsTheTap(t *testing.T) {
	for _, said := range []string{
		"-ERR 'Slow Consumer'\r\n", "WHAT\r\n", "MSG\r\n", "MSG a.x 0\r\n", "MSG a.x 0 -1\r\n", "MSG a.x 0 many\r\n",
		"HMSG b 1 12\r\n", "HMSG b 1 20 15\r\n", "PONG\r\n", "MSG a.x 0 5\r\nshort", strings.Repeat("x", readBuffer+1),
	} {
		to := &inbox{most: 100}
		tapped, s := open(t, to, "")
		go func() { s.say(said); _ = s.conn.Close() }()
		done := make(chan error)
		go func() { done <- tapped.Run() }()
		select {
		case err := <-done:
			if err == nil || len(to.got) != 0 || tapped.Received() != 0 {
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
