package inproc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// recorder records messages. It discards the data of those above maxSize bytes.
type recorder struct {
	maxSize int
	got     []string
	peers   []Peer // of all messages
}

func (r *recorder) Memory(size int, _ Peer) []byte {
	if size > r.maxSize {
		return nil
	}
	return make([]byte, size)
}

func (r *recorder) Receive(m Message) {
	r.peers = append(r.peers, m.Peer)
	switch {
	case m.Status != "":
		r.got = append(r.got, m.Subject+" status "+m.Status)
	case m.Data == nil:
		r.got = append(r.got, fmt.Sprintf("%s %d", m.Subject, m.Size))
	default:
		r.got = append(r.got, fmt.Sprintf("%s %d %s", m.Subject, m.Size, m.Data))
	}
}

// server is the other end of a connection; the test decides what it sends.
type server struct {
	conn  net.Conn
	lines *bufio.Reader
}

const info = `INFO {"server_id":"S","client_id":42,"headers":true,"max_payload":1000}` + "\r\n"

// read expects lines with these beginnings.
func (s *server) read(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		line, err := s.lines.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, w) {
			t.Errorf("the server reads %q, %v; want %q", line, err, w)
		}
	}
}

func (s *server) write(text string) { _, _ = io.WriteString(s.conn, text) }

// open opens a connection with two subjects. The server sends the text early before it confirms the
// subscriptions.
func open(t *testing.T, to *recorder, early string) (*Conn, *server) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = theirs.Close() })
	s := &server{conn: theirs, lines: bufio.NewReader(theirs)}
	go func() {
		s.write(info)
		s.read(t, "CONNECT {", "PING")
		s.write("+OK\r\nINFO {}\r\nPONG\r\n")
		s.read(t, "SUB a.> 0\r\n", "SUB b 1\r\n", "PING")
		s.write(early + "PONG\r\n")
	}()
	conn, err := Open(ours, "test", "secret", []string{"a.>", "b"}, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn, s
}

func TestConn_ReceivesMessagesOfEveryForm(t *testing.T) {
	to := &recorder{maxSize: 100}
	conn, s := open(t, to, "MSG a.early 0 5\r\nhello\r\n")
	if conn.ID() != 42 {
		t.Errorf("the id is %d", conn.ID())
	}
	large := strings.Repeat("z", 200)
	go func() {
		s.write("MSG a.x 0 2\r\nhi\r\nMSG a.x 0 reply.to 0\r\n\r\nPING\r\n")
		s.read(t, "PONG")
		for _, part := range []string{"HMSG b 1 12 1", "5\r\nNATS/1.0\r\n", "\r\nabc", "\r\nMSG a.long 0 200\r\n"} {
			s.write(part)
		}
		s.write(large + "\r\nHMSG b 1 reply 12 212\r\nNATS/1.0\r\n\r\n" + large + "\r\n")
		s.write("HMSG b 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nMSG b 1 4\r\nlast\r\n")
		_ = s.conn.Close()
	}()
	if err := conn.Run(); !errors.Is(err, io.EOF) {
		t.Errorf("Run returns %v", err)
	}
	want := []string{
		"a.early 5 hello", "a.x 2 hi", "a.x 0 ", "b 3 abc", "a.long 200", "b 200", "b status 503", "b 4 last",
	}
	if strings.Join(to.got, "|") != strings.Join(want, "|") || conn.Received() != uint64(len(want)) {
		t.Errorf("%d received: %q", conn.Received(), to.got)
	}
}

// TestConn_ReceivesAfterLinesOfAnyLength sends lines that are as long as a client can make them, and
// longer ones.
func TestConn_ReceivesAfterLinesOfAnyLength(t *testing.T) {
	for _, length := range []int{100, MaxControlLine, readBuffer, 2 * readBuffer, 5*readBuffer + 77} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			to := &recorder{maxSize: 100}
			conn, s := open(t, to, "")
			long := strings.Repeat("x", length)
			go func() {
				s.write("MSG a." + long + " 0 4\r\nlong\r\nHMSG b 1 " + long + " 12 15\r\nNATS/1.0\r\n\r\nabc\r\n")
				s.write("HMSG a." + long + " 0 " + long + " 12 16\r\nNATS/1.0\r\n\r\nboth\r\nMSG b 1 4\r\nlast\r\n")
				_ = s.conn.Close()
			}()
			if err := conn.Run(); !errors.Is(err, io.EOF) {
				t.Errorf("Run returns %v", err)
			}
			for i, m := range to.got {
				subject, rest, _ := strings.Cut(m, " ")
				if len(subject) > 1 && len(subject) < min(length, keptBegin/2) {
					t.Errorf("message %d has a subject of %d bytes", i, len(subject))
				}
				to.got[i] = subject[:1] + " " + rest
			}
			want := "a 4 long|b 3 abc|a 4 both|b 4 last"
			if got := strings.Join(to.got, "|"); got != want || conn.Received() != 4 {
				t.Errorf("%d received: %.200q", conn.Received(), got)
			}
		})
	}
}

func TestConn_DrainReceivesWhatWasRouted(t *testing.T) {
	to := &recorder{maxSize: 100}
	conn, s := open(t, to, "")
	go func() {
		s.read(t, "UNSUB 0\r\n", "UNSUB 1\r\n", "PING")
		s.write("MSG a.x 0 4\r\nlate\r\nPONG\r\n")
	}()
	conn.Drain()
	if err := conn.Run(); err != nil || len(to.got) != 1 {
		t.Errorf("Run returns %v, received %q", err, to.got)
	}
	conn.Close() // again
}

// TestConn_OutlivesARefusedPublish has errors after which the server keeps the connection.
func TestConn_OutlivesARefusedPublish(t *testing.T) {
	to := &recorder{maxSize: 100}
	conn, s := open(t, to, "")
	go func() {
		s.write("-ERR 'Permissions Violation for Publish to \"x\"'\r\n-ERR 'Invalid Publish Subject'\r\n" +
			"MSG b 1 4\r\nlast\r\n")
		_ = s.conn.Close()
	}()
	if err := conn.Run(); !errors.Is(err, io.EOF) || len(to.got) != 1 {
		t.Errorf("Run returns %v, received %q", err, to.got)
	}
}

func TestConn_EndsWhenTheServerSendsWhatIsNotValid(t *testing.T) {
	for _, sent := range []string{
		"-ERR 'Slow Consumer'\r\n", "-ERR 'Permissions Violation for Subscription to \"x\"'\r\n", "WHAT\r\n", "MSG\r\n",
		"MSG a.x 0\r\n", "MSG a.x 0 -1\r\n", "MSG a.x 0 many\r\n", "HMSG b 1 12\r\n",
		"HMSG b 1 20 15\r\n", "PONG\r\n", "MSG a.x 0 5\r\nshort", strings.Repeat("x", readBuffer+1),
	} {
		t.Run(fmt.Sprintf("%.40q", sent), func(t *testing.T) {
			to := &recorder{maxSize: 100}
			conn, s := open(t, to, "")
			go func() { s.write(sent); _ = s.conn.Close() }()
			done := make(chan error)
			go func() { done <- conn.Run() }()
			select {
			case err := <-done:
				if err == nil || len(to.got) != 0 || conn.Received() != 0 {
					t.Errorf("Run returns %v, received %q", err, to.got)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Run does not return")
			}
		})
	}
}

func TestOpen_FailsIfTheServerDoesNotAdmitIt(t *testing.T) {
	for _, sent := range []string{"HELLO\r\n", "INFO {\r\n", "", info + "-ERR 'Authorization Violation'\r\n",
		info + "-ERR 'Permissions Violation for Publish to \"x\"'\r\n",
	} {
		t.Run(fmt.Sprintf("%.40q", sent), func(t *testing.T) {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = io.WriteString(theirs, sent)
				_ = theirs.Close()
			}()
			if _, err := Open(ours, "test", "", nil, &recorder{}); err == nil {
				t.Error("no error")
			}
		})
	}
}
