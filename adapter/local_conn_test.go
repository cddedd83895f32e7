package adapter

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/broker"
	"github.com/muster-appliance/muster/internal/inproc"
	"github.com/muster-appliance/muster/internal/puback"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go/jetstream"
)

func TestLocalConn_StoresUnackedMessagesOnceAfterAReconnect(t *testing.T) {
	a, b := openWith(t, DefaultConfig(), 64<<20)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream := jetstream.StreamConfig{Name: "S", Subjects: []string{"choria.node_metadata.>"}}
	s, err := js.CreateStream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	const rounds, messages = 5, 200
	for round := range uint64(rounds) {
		publish(t, b, messages, []byte("{}"), false)
		a.appliancePublisher.transport.(*localConn).current.Load().Close()
		wait.Eventually(t, func() error {
			stats := a.Stats()
			if stats.Stored+stats.Duplicate < messages*(round+1) || a.connStats.reconnections.Load() <= round {
				return fmt.Errorf("round %d: %+v", round, stats)
			}
			return nil
		})
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The messages of each round have the ids of the first round.
	stats, reconnections := a.Stats(), a.connStats.reconnections.Load()
	if info.State.Msgs != messages || !stats.Balanced() || stats.Pending != 0 || reconnections != rounds {
		t.Errorf("the stream has %d messages, %d reconnections: %+v", info.State.Msgs, reconnections, stats)
	}
}

// openLocalConn opens a localConn to a broker, over a dial that fails while failing is set. The
// outages are sent to the channel.
func openLocalConn(t *testing.T) (l *localConn, failing *atomic.Bool, outages chan outage) {
	t.Helper()
	a, _ := openWith(t, DefaultConfig(), 1<<20)
	failing, outages = &atomic.Bool{}, make(chan outage, 10)
	l = &localConn{
		name: "test", subjects: []string{"test"}, receiver: &receiver{a: a}, stats: newConnStats(a.opts),
		dial: func(name string, subjects []string, r inproc.Receiver) (*inproc.Conn, error) {
			if failing.Load() {
				return nil, errors.New("no connection for this test")
			}
			return a.opts.Dial(name, subjects, r)
		},
		onOutageOver: func(o outage) { outages <- o },
	}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	return l, failing, outages
}

func TestLocalConn_RedialsUntilItSucceeds(t *testing.T) {
	l, failing, outages := openLocalConn(t)
	failing.Store(true)
	first := l.current.Load()
	first.Close()
	time.Sleep(5 * redialWait) // several attempts fail
	if l.connected() || !errors.Is(l.publish(&streamMessage{subject: "test"}, ""), inproc.ErrClosed) {
		t.Error("it is connected while dialing fails")
	}
	failing.Store(false)
	o := <-outages
	if o.conn != first || o.err == nil || !o.reconnected || o.length < 5*redialWait || !l.connected() {
		t.Errorf("have %+v", o)
	}
	l.drain(t.Context())
	o = <-outages
	if o.conn == first || o.err != nil || o.reconnected || l.connected() {
		t.Errorf("after drain: %+v", o)
	}
	if n := l.stats.reconnections.Load(); n != 1 {
		t.Errorf("%d reconnections", n)
	}
}

func TestLocalConn_ReportsWhatTheServerWouldNotAccept(t *testing.T) {
	l, _, _ := openLocalConn(t)
	defer l.close()
	err := l.publish(&streamMessage{subject: "test", bytes: make([]byte, broker.DefaultConfig().MaxPayload+1)}, "")
	if !errors.Is(err, puback.ErrTooLarge) || !l.connected() {
		t.Errorf("have %v", err)
	}
}

func TestLocalConn_CloseEndsRedialing(t *testing.T) {
	l, failing, outages := openLocalConn(t)
	failing.Store(true)
	l.current.Load().Close()
	l.close()
	l.close()
	if o := <-outages; o.reconnected || l.connected() {
		t.Errorf("have %+v", o)
	}
}

func TestLocalConn_DrainClosesWhenTheContextIsDone(t *testing.T) {
	l, _, outages := openLocalConn(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.drain(ctx)
	if o := <-outages; o.reconnected || l.connected() {
		t.Errorf("have %+v", o)
	}
}
