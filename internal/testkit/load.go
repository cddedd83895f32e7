package testkit

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-appliance/muster/internal/choria"
	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/muster-appliance/muster/internal/testkit/wait"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Subject is the subject on which nodes publish registrations.
const Subject = simnode.Subject

// Registration returns a registration with so many bytes of content, and its key: the sender
// and the request id, which is n. Keys returns the keys of stored messages.
func Registration(tb testing.TB, sender string, n, content int) (key string, raw []byte) {
	tb.Helper()
	body, err := choria.FileBody("/facts", time.Unix(1, 0), false, make([]byte, content), false)
	if err != nil {
		tb.Fatal(err)
	}
	id := fmt.Sprintf("%032d", n)
	raw, err = choria.NewRegistration(id, sender, "mcollective", time.Now(), body).EncodeV1(nil, "")
	if err != nil {
		tb.Fatal(err)
	}
	return sender + "/" + id, raw
}

// LoadOptions says what a Load publishes.
type LoadOptions struct {
	Connections int // each with ten senders of its own
	FirstID     int // the first request id; loads with different ones do not repeat messages
	Content     int // bytes of content of a message
	Rate        int // messages a second, all connections together; 0: as fast as possible
}

// Load publishes registrations until it is stopped.
type Load struct {
	tb   testing.TB
	o    LoadOptions
	stop chan struct{} // closed by Stop
	wg   sync.WaitGroup

	published atomic.Uint64
	mu        sync.Mutex
	keys      []string // of the published messages, in each sender's order
}

// StartLoad connects to the address and begins to publish. A connection that the server
// closes is not made again. The load is stopped at the latest when the test ends.
func StartLoad(tb testing.TB, address string, o LoadOptions) *Load {
	tb.Helper()
	l := &Load{tb: tb, o: o, stop: make(chan struct{})}
	for c := range o.Connections {
		nc, err := nats.Connect(address, nats.NoReconnect(), nats.Name(fmt.Sprintf("load %d", c)),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			tb.Fatal(err)
		}
		l.wg.Go(func() { l.publish(nc, c) })
	}
	tb.Cleanup(func() { l.Stop() })
	return l
}

// publish publishes over one connection until the load is stopped or the connection ends.
func (l *Load) publish(nc *nats.Conn, c int) {
	defer nc.Close()
	var keys []string
	start := time.Now()
	for n := 0; !l.stopped(); n++ {
		if l.o.Rate > 0 {
			due := time.Duration(n) * time.Second * time.Duration(l.o.Connections) / time.Duration(l.o.Rate)
			time.Sleep(due - time.Since(start))
		}
		key, raw := Registration(l.tb, fmt.Sprintf("node%d-%d.example.net", c, n%10), l.o.FirstID+n, l.o.Content)
		if nc.Publish(Subject, raw) != nil {
			break
		}
		keys = append(keys, key)
		l.published.Add(1)
	}
	_ = nc.FlushTimeout(wait.Limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys = append(l.keys, keys...)
}

func (l *Load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// Published returns the number of messages published so far.
func (l *Load) Published() uint64 { return l.published.Load() }

// Stop ends the load, waits until the server has read everything, and returns the keys of
// the published messages. It may be called twice.
func (l *Load) Stop() []string {
	l.mu.Lock()
	if !l.stopped() {
		close(l.stop)
	}
	l.mu.Unlock()
	l.wg.Wait()
	return l.keys
}

// Keys returns the keys of a stream's messages. The test fails if one is stored twice, or after
// a later one of the same sender.
func Keys(tb testing.TB, js jetstream.JetStream, stream string) map[string]bool {
	tb.Helper()
	keys, last := map[string]bool{}, map[string]string{} // last: by sender
	for _, m := range Messages(tb, js, stream) {
		_, key, _ := strings.Cut(m.Headers().Get(contract.HeaderMsgID), "/")
		if keys[key] {
			tb.Errorf("%s is stored twice", key)
		}
		keys[key] = true
		sender, id, _ := strings.Cut(key, "/")
		if id < last[sender] {
			tb.Errorf("%s is stored after %s", key, last[sender])
		}
		last[sender] = id
	}
	return keys
}
