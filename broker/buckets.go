package broker

import (
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// bucketsFresh is how long a list of streams is good: a fleet that comes back asks for it
// thousands of times.
const bucketsFresh = time.Second

// buckets are the streams that nodes may read. NATS has no pattern for names that begin
// with KV_, so each stands in a node's permissions; what is made later, a node may read
// after it has connected again.
type buckets struct {
	list func() []string
	now  func() time.Time

	mu    sync.Mutex
	names []string
	asked time.Time
}

func (b *buckets) current() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); now.Sub(b.asked) > bucketsFresh {
		b.names, b.asked = ofNodes(b.list()), now
	}
	return b.names
}

// streamNames are all streams of the nodes' account.
func (b *Broker) streamNames() []string {
	js, err := b.srv.Jsz(&server.JSzOptions{Account: account, Streams: true, Limit: 1})
	if err != nil || len(js.AccountDetails) == 0 {
		return nil
	}
	var names []string
	for _, stream := range js.AccountDetails[0].Streams {
		names = append(names, stream.Name)
	}
	return names
}
