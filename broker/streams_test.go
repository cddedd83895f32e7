package broker

import (
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestBroker_StreamsAreReadAtTheSameTime requires that a reader of the streams does not keep out another: one that
// verifies messages would take that for a closed store, and leave messages unverified.
func TestBroker_StreamsAreReadAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := openBroker(t)
	blockStream(t, b, jetstream.StreamConfig{}, 10)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if streams, ok := b.Streams(); !ok || len(streams) != 1 {
					t.Errorf("%d streams, %t", len(streams), ok)
					return
				}
			}
		})
	}
	wg.Wait()
}
