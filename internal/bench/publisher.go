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
	// maxUnacked is how many messages of a connection may be published to the stream and not
	// yet acknowledged.
	maxUnacked = 256
	// maxStall is how long publishing may wait for one of them.
	maxStall = time.Minute
)

// publisher publishes the messages of one connection.
type publisher interface {
	publish(m message) error
	// finish waits until the server, or the stream, has everything.
	finish() error
}

func newPublisher(nc *nats.Conn, direct bool) (publisher, error) {
	if !direct {
		return nodePublisher{nc}, nil
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(maxUnacked))
	return streamPublisher{js}, err
}

// nodePublisher publishes registrations as nodes do: without acks.
type nodePublisher struct{ nc *nats.Conn }

func (p nodePublisher) publish(m message) error { return p.nc.Publish(simnode.Subject, m.raw) }

func (p nodePublisher) finish() error { return p.nc.FlushTimeout(flushTimeout) }

// streamPublisher publishes into the stream; each message is acknowledged.
type streamPublisher struct{ js jetstream.JetStream }

func (p streamPublisher) publish(m message) error {
	_, err := p.js.PublishMsgAsync(&nats.Msg{
		Subject: contract.SubjectNodeMetadata + m.node,
		Header:  nats.Header{contract.HeaderMsgID: {"direct/" + m.key}},
		Data:    m.raw,
	}, jetstream.WithStallWait(maxStall))
	return err
}

func (p streamPublisher) finish() error {
	select {
	case <-p.js.PublishAsyncComplete():
		return nil
	case <-time.After(flushTimeout):
		return errors.New("the stream did not acknowledge all messages within " + flushTimeout.String())
	}
}
