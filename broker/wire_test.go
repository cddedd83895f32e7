package broker

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/nats-io/nats.go"
)

// slowInbox takes nothing until it is let go, and then everything.
type slowInbox struct {
	letGo chan struct{}
	got   atomic.Uint64
}

func (*slowInbox) Buffer(size int) []byte { return make([]byte, size) }

func (i *slowInbox) Receive(m inproc.Message) {
	<-i.letGo
	if len(m.Data) > 0 {
		i.got.Add(1)
	}
}

func TestAnOrganThatLagsSlowsTheSendersAndLosesNothing(t *testing.T) {
	b := openBroker(t)
	if err := b.Accept(); err != nil {
		t.Fatal(err)
	}
	to := &slowInbox{letGo: make(chan struct{})}
	conn, err := b.DialInproc("organ", []string{"load.>"}, to)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- conn.Run() }()
	t.Cleanup(conn.Close)

	node, err := nats.Connect(b.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	const messages = 9000 // 88 MiB, more than a connection may lag behind
	sent := make(chan error, 1)
	go func() {
		for range messages {
			if err := node.Publish("load.x", make([]byte, 10<<10)); err != nil {
				sent <- err
				return
			}
		}
		sent <- node.FlushTimeout(time.Minute)
	}()
	deadline := time.Now().Add(30 * time.Second)
	for b.srv.NumStalledClients() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("no sender was slowed down")
		}
		time.Sleep(time.Millisecond)
	}
	close(to.letGo)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	for to.got.Load() < messages && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-ended:
		t.Errorf("the connection ended: %v", err)
	default:
	}
	if sent, ok := b.Delivered(conn.ID()); to.got.Load() != messages || !ok || sent != messages {
		t.Errorf("%d of %d have come, the broker sent %d", to.got.Load(), messages, sent)
	}
}
