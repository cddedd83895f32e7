package broker

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats-server/v2/server"
)

// listMaxAge is how long a list of streams is used: when all nodes reconnect, it is needed
// thousands of times.
const listMaxAge = time.Second

// Prefixes of the names of streams that nodes may read.
const (
	bucketStream   = contract.PrefixBucketStream
	governorStream = contract.PrefixGovernorStream
)

// readableStreamList lists the streams that nodes may read. NATS has no pattern for names that begin
// with KV_, so the permissions of a node name each one. A node may read a stream that was created
// after it connected only once it reconnects.
type readableStreamList struct {
	list func() []string // all streams
	now  func() time.Time

	mu     sync.Mutex
	names  []string
	listed time.Time
}

// current returns the streams that nodes may read, at most listMaxAge old.
func (b *readableStreamList) current() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); now.Sub(b.listed) > listMaxAge {
		b.names, b.listed = readableStreams(b.list()), now
	}
	return b.names
}

// readableStreams returns those of the streams that nodes may read: key-value buckets and
// governors, but not the bucket of leader elections.
func readableStreams(streams []string) []string {
	return slices.DeleteFunc(streams, func(name string) bool {
		return name == bucketStream+"CHORIA_LEADER_ELECTION" ||
			!strings.HasPrefix(name, bucketStream) && !strings.HasPrefix(name, governorStream)
	})
}

// streamNames returns all streams of the nodes' account.
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
