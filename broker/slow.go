package broker

import (
	"runtime/metrics"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	// maxPending is how many bytes may wait for a connection that is not internal: NATS's own
	// default.
	maxPending   = 64 << 20
	slowInterval = 2 * time.Second
	// maxSlowInterval is the interval while this process allocates little: a check takes
	// longer the more connections there are, and what waits for a connection takes memory.
	maxSlowInterval = time.Minute
	// maxSlow is how many connections a check looks at, those with most pending bytes first.
	maxSlow = 16
)

// watchSlow closes connections that read too slowly. The server has one limit for all
// connections, and internal ones need a high one: messages that an adapter has not read yet
// in a burst are not lost. A client that subscribes to everything and does not read must not
// take as much.
func (b *Broker) watchSlow() {
	ticker := time.NewTicker(slowInterval)
	defer ticker.Stop()
	var checked time.Time
	var before uint64
	for {
		select {
		case <-b.quit:
			return
		case now := <-ticker.C:
			if all := allocated(); all-before > maxPending/2 || now.Sub(checked) >= maxSlowInterval {
				b.disconnectSlow()
				checked, before = now, all
			}
		}
	}
}

// allocated returns how many bytes this process has allocated since it began, freed ones
// included.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func (b *Broker) disconnectSlow() {
	connections, err := b.srv.Connz(&server.ConnzOptions{Sort: server.ByPending, Limit: maxSlow})
	if err != nil {
		return
	}
	for _, c := range connections.Conns {
		if c.Pending <= maxPending || b.auth.isInternal(c.Cid) {
			continue
		}
		b.opts.Log.Warn("connection closed because it does not read fast enough",
			"name", c.Name, "address", c.IP, "pending", humanize.IBytes(uint64(c.Pending)))
		_ = b.srv.DisconnectClientByID(c.Cid) // an error means that it has already closed
	}
}
