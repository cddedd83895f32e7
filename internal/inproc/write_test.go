package inproc

import (
	"errors"
	"testing"
)

func TestConn_PublishWritesTheMessageAsGiven(t *testing.T) {
	conn, s := open(t, &recorder{}, "")
	done := make(chan error, 1)
	go func() { done <- conn.Run() }()
	header := Begin(nil).Add("A", "one").Add("Long", " two\r\nlines ").End()
	for range 3 {
		if err := conn.Publish("to.x", "answer.1", header, []byte("data")); err != nil {
			t.Fatal(err)
		}
		s.read(t, "HPUB to.x answer.1 38 42\r\n", "NATS/1.0\r\n", "A: one\r\n", "Long: two  lines\r\n", "\r\n", "data\r\n")
	}
	if err := conn.Publish("to.x", "answer.1", header, make([]byte, 1000)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	conn.Close()
	if err := <-done; err == nil {
		t.Error("Run returns nil after Close")
	}
	if err := conn.Publish("to.x", "answer.1", header, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
