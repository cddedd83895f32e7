package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go/jetstream"
)

// loadWait is how long it may take to read what a stream has.
const loadWait = 2 * time.Minute

// visit takes a stored message and its sequence.
type visit func(m jetstream.Msg, sequence uint64)

// feed is a stream that is read from somewhere on, and goes on with what comes.
type feed struct {
	messages jetstream.MessagesContext
	pending  uint64 // that were not read yet, as of the last message
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
	messages, err := c.Messages(jetstream.PullMaxMessages(2000))
	return &feed{messages, info.NumPending}, err
}

func (f *feed) next(ctx context.Context, visit visit) error {
	m, err := f.messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return err
	}
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	f.pending = meta.NumPending
	visit(m, meta.Sequence.Stream)
	return nil
}

// catchUp reads what is there, at most so many messages; 0: all.
func (f *feed) catchUp(ctx context.Context, most int, visit visit) error {
	ctx, cancel := context.WithTimeout(ctx, loadWait)
	defer cancel()
	for n := 0; f.pending > 0 && (most == 0 || n < most); n++ {
		if err := f.next(ctx, visit); err != nil {
			return err
		}
	}
	return nil
}

// read hands over what the stream has now, at most so many messages; 0: all.
func read(ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig, most int, visit visit) error {
	f, err := newFeed(ctx, s, cfg)
	if err != nil {
		return err
	}
	defer f.messages.Stop()
	return f.catchUp(ctx, most, visit)
}

// lastOfEach reads the last message of each subject.
func lastOfEach(headersOnly bool) jetstream.OrderedConsumerConfig {
	return jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{">"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: headersOnly,
	}
}

// restore reads from the events what the nodes were when the last process ended.
func (f *Fleet) restore(ctx context.Context) error {
	if !f.o.StoreEvents {
		return nil
	}
	s, err := f.js.Stream(ctx, contract.StreamFleet)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	storms := map[string]*Event{}
	err = read(ctx, s, lastOfEach(false), 0, func(m jetstream.Msg, _ uint64) {
		e, err := parseEvent(m.Subject(), m.Data())
		switch {
		case err != nil:
			f.unread.add(f.o.Log, m.Subject(), err, f.o.Now())
		case e.Node == "":
			storms[e.Site] = e
		default:
			f.book.restore(e)
		}
	})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	for _, e := range storms {
		if e.Event == kindStorm {
			f.book.restoreStorm(e)
		}
	}
	return nil
}
