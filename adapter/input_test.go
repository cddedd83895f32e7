package adapter

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/testkit/wait"
)

func TestInput_CountsWhatAnEndedConnectionLost(t *testing.T) {
	a, b := openWith(t, DefaultConfig(), 64<<20)
	node, err := b.Connect("node")
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	raw := append([]byte("{"), make([]byte, 4<<10)...) // so that the connection's read buffer holds few messages
	publish := func(n int) {
		t.Helper()
		for range n {
			if err := node.Publish(registrationSubject, raw); err != nil {
				t.Fatal(err)
			}
		}
		if err := node.Flush(); err != nil { // the server has routed them all
			t.Fatal(err)
		}
	}
	publish(10)
	// While the mutex is held nothing is received: what the server routes meanwhile is lost
	// with the connection.
	a.mu.Lock()
	publish(500)
	ended := a.input.current.Load()
	ended.Close()
	a.mu.Unlock()

	wait.Eventually(t, func() error {
		if a.Stats().Dropped[contract.ReasonConnection] == 0 {
			return errors.New("nothing is counted as lost")
		}
		return nil
	})
	s := a.Stats()
	if s.Received != 510 || s.Dropped[contract.ReasonConnection] < 400 || !s.Balanced() {
		t.Errorf("have %+v", s)
	}
	wait.Eventually(t, func() error {
		if c := a.input.current.Load(); c == nil || c == ended || !a.Connected() {
			return fmt.Errorf("connection %p after %p", c, ended)
		}
		return nil
	})
	publish(5)
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); s.Received != 515 || s.Pending != 0 || !s.Balanced() {
		t.Errorf("after the next connection: %+v", s)
	}
}
