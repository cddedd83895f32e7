package adapter

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/muster-appliance/muster/broker"
)

func TestWhatAClosedConnectionLostIsCounted(t *testing.T) {
	a, b := openWith(t, DefaultConfig(), 64<<20)
	node, err := b.Connect("node")
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	publish := func(n int) {
		t.Helper()
		for range n {
			if err := node.Publish("mcollective.broadcast.agent.registration", []byte("{")); err != nil {
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
	kick(t, b, ended.id)
	<-ended.closed
	a.mu.Unlock()

	deadline := time.Now().Add(30 * time.Second)
	for a.Stats().Dropped[droppedConnection] == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	s := a.Stats()
	if s.Received != 510 || s.Dropped[droppedConnection] < 400 || !s.Balanced() {
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

// kick lets the server end the connection of that id.
func kick(t *testing.T, b *broker.Broker, id uint64) {
	t.Helper()
	system, err := b.ConnectSystem("test")
	if err != nil {
		t.Fatal(err)
	}
	defer system.Close()
	if _, err := system.Request("$SYS.REQ.SERVER."+system.ConnectedServerId()+".KICK", fmt.Appendf(nil, `{"cid":%d}`, id), 10*time.Second); err != nil {
		t.Fatal(err)
	}
}
