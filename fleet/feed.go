package fleet

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// loadTimeout is how long reading the stored messages of a stream may take.
	loadTimeout = 2 * time.Minute
	// maxPulled is how many messages the client library requests ahead.
	maxPulled = 2000
)

// messageHandler is called with a stored message and its sequence.
type messageHandler func(m jetstream.Msg, sequence uint64)

// feed reads a stream from a start position: first the stored messages, then new ones. Call
// messages.Stop when it is no longer needed.
type feed struct {
	messages jetstream.MessagesContext
	unread   uint64 // stored messages after the last one that was read
}

func newFeed(ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig) (*feed, error) {
	c, err := s.OrderedConsumer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	messages, err := c.Messages(jetstream.PullMaxMessages(maxPulled))
	return &feed{messages, info.NumPending}, err
}

// next waits for the next message and handles it.
func (f *feed) next(ctx context.Context, handle messageHandler) error {
	m, err := f.messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return err
	}
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	f.unread = meta.NumPending
	handle(m, meta.Sequence.Stream)
	return nil
}

// catchUp handles the stored messages, at most limit; 0 means all.
func (f *feed) catchUp(ctx context.Context, limit int, handle messageHandler) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	for n := 0; f.unread > 0 && (limit == 0 || n < limit); n++ {
		if err := f.next(ctx, handle); err != nil {
			return err
		}
	}
	return nil
}

// read handles the stored messages of a stream in their order, at most limit; 0 means all.
func read(
	ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig, limit int, handle messageHandler,
) error {
	f, err := newFeed(ctx, s, cfg)
	if err != nil {
		return err
	}
	defer f.messages.Stop()
	return f.catchUp(ctx, limit, handle)
}

// lastOfEachSubject selects the last message of each subject, in the order of the stream.
func lastOfEachSubject(headersOnly bool) jetstream.OrderedConsumerConfig {
	return jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{">"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: headersOnly,
	}
}
