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

// FloodOptions says what a Flood publishes.
type FloodOptions struct {
	Connections int // each with ten senders of its own
	FirstID     int // the first request id; floods with different ones do not repeat messages
	Content     int // bytes of content of a message
	Rate        int // messages a second, all connections together; 0: as fast as possible
}

// Flood publishes registrations until it is stopped.
type Flood struct {
	tb   testing.TB
	o    FloodOptions
	stop chan struct{} // closed by Stop
	wg   sync.WaitGroup

	published atomic.Uint64
	mu        sync.Mutex
	keys      []string // of the published messages, in each sender's order
}

// StartFlood connects to the address and begins to publish. A connection that the server
// closes is not made again. The flood is stopped at the latest when the test ends.
func StartFlood(tb testing.TB, address string, o FloodOptions) *Flood {
	tb.Helper()
	f := &Flood{tb: tb, o: o, stop: make(chan struct{})}
	for c := range o.Connections {
		nc, err := nats.Connect(address, nats.NoReconnect(), nats.Name(fmt.Sprintf("flood %d", c)),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			tb.Fatal(err)
		}
		f.wg.Go(func() { f.publish(nc, c) })
	}
	tb.Cleanup(func() { f.Stop() })
	return f
}

// publish publishes over one connection until the flood is stopped or the connection ends.
func (f *Flood) publish(nc *nats.Conn, c int) {
	defer nc.Close()
	var keys []string
	start := time.Now()
	for n := 0; !f.stopped(); n++ {
		if f.o.Rate > 0 {
			due := time.Duration(n) * time.Second * time.Duration(f.o.Connections) / time.Duration(f.o.Rate)
			time.Sleep(due - time.Since(start))
		}
		key, raw := Registration(f.tb, fmt.Sprintf("node%d-%d.example.net", c, n%10), f.o.FirstID+n, f.o.Content)
		if nc.Publish(Subject, raw) != nil {
			break
		}
		keys = append(keys, key)
		f.published.Add(1)
	}
	_ = nc.FlushTimeout(wait.Limit)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, keys...)
}

func (f *Flood) stopped() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// Published returns the number of messages published so far.
func (f *Flood) Published() uint64 { return f.published.Load() }

// Stop ends the flood, waits until the server has read everything, and returns the keys of
// the published messages. It may be called twice.
func (f *Flood) Stop() []string {
	f.mu.Lock()
	if !f.stopped() {
		close(f.stop)
	}
	f.mu.Unlock()
	f.wg.Wait()
	return f.keys
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
