package broker

import (
	"runtime/metrics"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	slowInterval = 2 * time.Second
	// slowRest is how seldom connections are looked at where little is allocated: a look
	// takes the longer the more there are, and who lags takes memory.
	slowRest = time.Minute
	// mostPending is what anybody but an organ may lag behind: NATS's own default.
	mostPending = 64 << 20
	// slowest is how many connections are looked at, those that lag most first.
	slowest = 16
)

// watchSlow ends connections that lag too far behind. The server has one bound for all,
// and the organs need a wide one: what an adapter lags behind in a burst is not lost. A
// client that subscribes to everything and does not read must not have as much.
func (b *Broker) watchSlow() {
	ticker := time.NewTicker(slowInterval)
	defer ticker.Stop()
	var looked time.Time
	var before uint64
	for {
		select {
		case <-b.quit:
			return
		case now := <-ticker.C:
			if all := allocated(); all-before > mostPending/2 || now.Sub(looked) >= slowRest {
				b.endSlow()
				looked, before = now, all
			}
		}
	}
}

// allocated is how many bytes this process has taken from its heap since it began.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func (b *Broker) endSlow() {
	connections, err := b.srv.Connz(&server.ConnzOptions{Sort: server.ByPending, Limit: slowest})
	if err != nil {
		return
	}
	for _, c := range connections.Conns {
		if c.Pending <= mostPending || b.auth.isOrgan(c.Cid) {
			continue
		}
		b.log.log.Warn("connection ended: it does not read fast enough", "name", c.Name, "address", c.IP, "pending", humanize.IBytes(uint64(c.Pending)))
		_ = b.srv.DisconnectClientByID(c.Cid) // it may have gone by itself
	}
}
