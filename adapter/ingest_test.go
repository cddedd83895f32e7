package adapter

import (
	"context"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
)

func TestWhatAClosedConnectionLostIsCounted(t *testing.T) {
	a, b := openWith(t, DefaultConfig(), 64<<20)
	node, err := b.Connect("node")
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	raw := append([]byte("{"), make([]byte, 4<<10)...) // so that the connection's own buffer has room for few
	publish := func(n int) {
		t.Helper()
		for range n {
			if err := node.Publish("mcollective.broadcast.agent.registration", raw); err != nil {
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
	ended := a.ingest
	ended.conn.Close()
	a.mu.Unlock()
	<-ended.ended

	deadline := time.Now().Add(30 * time.Second)
	for a.Stats().Dropped[contract.ReasonConnection] == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	s := a.Stats()
	if s.Received != 510 || s.Dropped[contract.ReasonConnection] < 400 || !s.Balanced() {
		t.Errorf("have %+v", s)
	}
	for !a.Connected() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	publish(5)
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); s.Received != 515 || s.Pending != 0 || !s.Balanced() {
		t.Errorf("after another connection: %+v", s)
	}
}
