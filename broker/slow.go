package broker

import (
	"runtime/metrics"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	// maxClientBacklog is how many bytes may wait for a connection that is not internal: NATS's
	// own default.
	maxClientBacklog = 64 << 20
	checkEvery       = 2 * time.Second
	// checkAtLeastEvery is the interval while the process allocates little: then no connection can
	// collect many pending bytes. A check takes longer the more connections there are.
	checkAtLeastEvery = time.Minute
	// maxClosedPerCheck is how many connections one check closes at most: it covers those with the
	// most pending bytes.
	maxClosedPerCheck = 16
)

// watchSlow closes connections that read too slowly. The server has one limit for all
// connections. Internal connections need a high limit, so that a burst that an adapter has not
// read yet is not lost. A client that subscribes to everything and does not read must not use as
// much memory.
func (b *Broker) watchSlow() {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	var checked time.Time
	var totalBefore uint64
	for {
		select {
		case <-b.quit:
			return
		case now := <-ticker.C:
			if total := allocated(); total-totalBefore > maxClientBacklog/2 || now.Sub(checked) >= checkAtLeastEvery {
				b.disconnectSlow()
				checked, totalBefore = now, total
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
	connections, err := b.srv.Connz(&server.ConnzOptions{Sort: server.ByPending, Limit: maxClosedPerCheck})
	if err != nil {
		return
	}
	for _, c := range connections.Conns {
		if c.Pending <= maxClientBacklog || b.auth.isInternal(c.Cid) {
			continue
		}
		b.opts.Log.Warn("connection closed because it does not read fast enough",
			"name", c.Name, "address", c.IP, "pending", humanize.IBytes(uint64(c.Pending)))
		_ = b.srv.DisconnectClientByID(c.Cid) // an error means that it has already closed
	}
}
