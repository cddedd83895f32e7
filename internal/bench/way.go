package bench

import (
	"errors"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/muster-appliance/muster/internal/simnode"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// unacknowledged is how many messages a connection may have on their way to the stream.
	unacknowledged = 256
	// stallWait is how long one may wait for the acknowledgement of another.
	stallWait = time.Minute
)

// way is how the connection publishes, and how it makes sure at the end that all has come.
func (c *connection) way(load Load) (publish func(message) error, finish func() error, err error) {
	if !load.Direct {
		return func(m message) error { return c.nc.Publish(simnode.Subject, m.raw) },
			func() error { return c.nc.FlushTimeout(flushWait) }, nil
	}
	js, err := jetstream.New(c.nc, jetstream.WithPublishAsyncMaxPending(unacknowledged))
	if err != nil {
		return nil, nil, err
	}
	publish = func(m message) error {
		_, err := js.PublishMsgAsync(&nats.Msg{
			Subject: contract.SubjectNodeMetadata + m.node, Data: m.raw, Header: nats.Header{contract.HeaderMsgID: {"direct/" + m.key}},
		}, jetstream.WithStallWait(stallWait))
		return err
	}
	finish = func() error {
		select {
		case <-js.PublishAsyncComplete():
			return nil
		case <-time.After(flushWait):
			return errors.New("the stream does not acknowledge")
		}
	}
	return publish, finish, nil
}
