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

// Subject is where nodes register.
const Subject = simnode.Subject

// Registration is a registration with so many bytes of content. Its request id is n, and
// its key, the sender and the request id, is how it is found again in a stream.
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

// Flood publishes registrations as fast as they go until it is stopped.
type Flood struct {
	tb   testing.TB
	stop chan struct{}
	wg   sync.WaitGroup

	published atomic.Uint64
	mu        sync.Mutex
	keys      []string // of what was published, in each sender's order
}

// StartFlood floods from so many connections, each with ten senders of its own. A
// connection that ends is not made again. First is the first request id, so that floods
// one after the other do not repeat themselves.
func StartFlood(tb testing.TB, address string, connections, first, content int) *Flood {
	tb.Helper()
	f := &Flood{tb: tb, stop: make(chan struct{})}
	for c := range connections {
		nc, err := nats.Connect(address, nats.NoReconnect(), nats.Name(fmt.Sprintf("flood %d", c)),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			tb.Fatal(err)
		}
		f.wg.Go(func() { f.publish(nc, c, first, content) })
	}
	tb.Cleanup(func() { f.Stop() })
	return f
}

func (f *Flood) publish(nc *nats.Conn, c, first, content int) {
	defer nc.Close()
	var keys []string
	for n := 0; ; n++ {
		select {
		case <-f.stop:
			_ = nc.FlushTimeout(wait.Limit)
			f.mu.Lock()
			f.keys = append(f.keys, keys...)
			f.mu.Unlock()
			return
		default:
		}
		key, raw := Registration(f.tb, fmt.Sprintf("node%d-%d.example.net", c, n%10), first+n, content)
		if nc.Publish(Subject, raw) == nil {
			keys = append(keys, key)
			f.published.Add(1)
		} else {
			time.Sleep(time.Millisecond)
		}
	}
}

// Published is how many messages have been published so far.
func (f *Flood) Published() uint64 { return f.published.Load() }

// Stop ends the flood and gives the keys of what was published.
func (f *Flood) Stop() []string {
	f.mu.Lock()
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.mu.Unlock()
	f.wg.Wait()
	return f.keys
}

// Keys are those of a stream's messages; it is an error when one is there twice, or after
// a later one of its sender.
func Keys(tb testing.TB, js jetstream.JetStream, stream string) map[string]bool {
	tb.Helper()
	have, last := map[string]bool{}, map[string]string{}
	for _, m := range Messages(tb, js, stream) {
		_, key, _ := strings.Cut(m.Headers().Get(contract.HeaderMsgID), "/")
		if have[key] {
			tb.Errorf("%s is stored twice", key)
		}
		have[key] = true
		sender, id, _ := strings.Cut(key, "/")
		if id < last[sender] {
			tb.Errorf("%s is stored after %s", key, last[sender])
		}
		last[sender] = id
	}
	return have
}
