package forward

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pulled is how many messages the client library requests ahead.
	pulled = 64
	// readHeartbeat is how often JetStream reports that the consumer exists. Reading ends after two intervals
	// without a message or a heartbeat.
	readHeartbeat = 5 * time.Second
	// ackWait is longer than any cut: what was read is in memory until it has its outcome.
	ackWait = 30 * 24 * time.Hour
	// reopenDelay is the pause before a stream that cannot be read is tried again.
	reopenDelay = time.Second
	// apiTimeout is how long an answer of this appliance's JetStream may take.
	apiTimeout = 10 * time.Second
)

// Reasons why a reader ends, and is opened again.
var (
	errGap     = errors.New("messages are missing: the consumer's sequence has a gap")
	errCatchUp = errors.New("the hub is reachable again")
)

// read reads the stream until ctx is done.
func (c *copier) read(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.readOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errCatchUp) {
			continue
		}
		c.noteReadError(err)
		select {
		case <-ctx.Done():
		case <-time.After(reopenDelay):
		}
	}
}

// readOnce opens a consumer behind the position, and reads until that ends.
func (c *copier) readOnce(ctx context.Context) error {
	reading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	consumer, err := c.openConsumer(reading)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullHeartbeat(readHeartbeat), jetstream.PullMaxMessages(pulled))
	if err != nil {
		return err
	}
	defer messages.Stop()
	c.setReader(cancel, consumer.CachedInfo().NumPending)
	defer c.setReader(nil, 0)
	for expected := uint64(1); ; expected++ {
		if err := c.waitForRoom(reading); err != nil {
			return context.Cause(reading)
		}
		m, err := messages.Next(jetstream.NextContext(reading))
		if err != nil {
			return errors.Join(context.Cause(reading), err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != expected {
			return errGap // the message would be delivered again only after ackWait
		}
		c.receive(m, meta)
	}
}

// openConsumer replaces the durable consumer by one that begins behind the position. It is replaced because JetStream
// delivers a message that was not acknowledged only after ackWait.
func (c *copier) openConsumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := c.f.js.Stream(ctx, c.cfg.Name)
	if err != nil {
		return nil, err
	}
	name := consumerName(c.f.cfg.Name)
	position, err := c.storedPosition(ctx, s, name)
	if err != nil {
		return nil, err
	}
	catchUp := c.begin(s.CachedInfo(), position)
	cfg := jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: maxPending(c.f.cfg.Window),
		Description: "forwards to " + c.f.cfg.Name,
	}
	switch {
	case catchUp:
		cfg.DeliverPolicy, cfg.FilterSubject = jetstream.DeliverLastPerSubjectPolicy, ">"
	case c.position() > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, c.position()+1
	}
	consumer, err := s.CreateConsumer(ctx, cfg)
	if err == nil {
		c.begun()
	}
	return consumer, err
}

// storedPosition deletes the consumer of an earlier reader, and returns the sequence up to which its messages have
// their outcome; 0 if there was none.
func (c *copier) storedPosition(ctx context.Context, s jetstream.Stream, name string) (uint64, error) {
	consumer, err := s.Consumer(ctx, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	err = s.DeleteConsumer(ctx, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		err = nil
	}
	return consumer.CachedInfo().AckFloor.Stream, err
}

// consumerName returns the name of the durable consumers of a forwarder.
func consumerName(hub string) string { return "muster-forward-" + hub }

// maxPending returns how many messages may be read and have no outcome: more than the window, so that senders whose
// messages wait do not hold up others.
func maxPending(window int64) int { return int(max(4*window, 256)) }
