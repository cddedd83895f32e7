package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// loadTimeout is how long reading the stored messages of a stream waits for the next one. An answer
	// of the API may take that long in all.
	loadTimeout = 2 * time.Minute
	// stallTimeout is how long reading a stored message may take, until it is checked whether it
	// is still in the stream: messages may be deleted while they are read.
	stallTimeout = 2 * time.Second
	// maxPulled is how many messages the client library requests ahead, and maxPulledBytes how many bytes
	// they have at most, if each is as large as the server accepts; but two messages in any case. With a
	// limit of bytes in the request the server would add messages of its own, for which the library has no
	// room: it would drop others.
	maxPulled      = 2000
	maxPulledBytes = 16 << 20
	// heartbeat is how often the server reports that a consumer exists. A feed ends after two
	// intervals without a message or a heartbeat.
	heartbeat = 5 * time.Second
	// checkInterval is how often the stream of a feed is checked while new messages are followed.
	checkInterval = 5 * time.Second
	// inactiveThreshold is when the server deletes a consumer that this process did not delete.
	inactiveThreshold = time.Minute
	// readAttempts is how often stored messages are read from the start position. The client library has
	// room for what it requests, but not for a heartbeat beside that: then it drops a message.
	readAttempts = 5
	// deleteTimeout is how long the deletion of a consumer may take.
	deleteTimeout = 2 * time.Second
)

// Reasons why a feed ends.
var (
	errGap         = errors.New("messages are missing: the consumer's sequence has a gap")
	errReconnected = errors.New("the connection to the broker was lost for a moment")
	errRecreated   = errors.New("the stream was deleted and created again")
	errSealed      = errors.New("the stream is sealed: it stores no more messages")
	errRefusing    = errors.New("events are not stored: the stream " + contract.StreamFleet + " does not store them")
)

// messageHandler is called with a stored message and its sequence.
type messageHandler func(m jetstream.Msg, sequence uint64)

// feed reads a stream from a start position: first the stored messages, then new ones. Close it
// when it is no longer needed.
//
// It has a consumer of its own, which close deletes. The ordered consumers of the client library
// are not used: they ignore the caller's context while they create themselves again, they stay
// on the server when they are stopped, and after the stream was created anew they wait for a
// sequence that it has not reached. A feed ends with an error instead; open another one.
type feed struct {
	stream     jetstream.Stream
	consumer   jetstream.Consumer
	messages   jetstream.MessagesContext
	reconnects func() uint64 // of the connection
	opened     uint64        // reconnects when the feed was opened
	checkEvery time.Duration
	patience   time.Duration // how long catchUp waits for the next message
	delivered  uint64        // sequence of the last message that was read, in the consumer
	unread     uint64        // stored messages after the last one that was read
}

// newFeed opens a feed. Of cfg, only what selects messages and the start position is used.
func (f *Fleet) newFeed(ctx context.Context, s jetstream.Stream, cfg jetstream.ConsumerConfig) (*feed, error) {
	cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas = jetstream.AckNonePolicy, true, 1
	cfg.InactiveThreshold = inactiveThreshold
	fd := &feed{
		stream: s, reconnects: func() uint64 { return f.conn.Stats().Reconnects }, checkEvery: f.checkEvery,
		patience: f.patience,
	}
	fd.opened = fd.reconnects()
	creating, cancel := context.WithTimeout(ctx, loadTimeout) // with many subjects it takes seconds
	defer cancel()
	var err error
	if fd.consumer, err = s.CreateConsumer(creating, cfg); err != nil {
		return nil, err
	}
	fd.unread = fd.consumer.CachedInfo().NumPending
	fd.messages, err = fd.consumer.Messages(jetstream.PullHeartbeat(heartbeat), jetstream.PullMaxMessages(f.pulled))
	if err != nil {
		fd.deleteConsumer()
		return nil, err
	}
	return fd, nil
}

// close stops reading and deletes the consumer.
func (f *feed) close() {
	f.messages.Stop()
	f.deleteConsumer()
}

// deleteConsumer does not use the caller's context, which is often done by then. If it does not
// succeed, the server deletes the consumer after inactiveThreshold.
func (f *feed) deleteConsumer() {
	ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
	defer cancel()
	_ = f.stream.DeleteConsumer(ctx, f.consumer.CachedInfo().Name)
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
	if meta.Sequence.Consumer != f.delivered+1 {
		return errGap
	}
	f.delivered, f.unread = meta.Sequence.Consumer, meta.NumPending
	handle(m, meta.Sequence.Stream)
	return nil
}

// catchUp handles the stored messages, at most limit; 0 means all. It ends with an error when there was none
// for as long as its patience: to read all registrations of a large fleet takes minutes.
func (f *feed) catchUp(ctx context.Context, limit int, handle messageHandler) error {
	var stalled time.Duration
	for n := 0; f.unread > 0 && (limit == 0 || n < limit); n++ {
		waiting, cancel := context.WithTimeout(ctx, stallTimeout)
		err := f.next(waiting, handle)
		cancel()
		switch {
		case err == nil:
			stalled = 0
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && stalled < f.patience:
			stalled += stallTimeout
			err = f.updateUnread(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// updateUnread asks the server how many messages are left.
func (f *feed) updateUnread(ctx context.Context) error {
	info, err := f.consumer.Info(ctx)
	if err != nil {
		return err
	}
	f.unread = info.NumPending
	if info.Delivered.Consumer > f.delivered { // on the way
		f.unread += info.Delivered.Consumer - f.delivered
	}
	return nil
}

// follow handles messages until ctx is done, handle returns an error, or the feed ends, and
// returns why. checkStream is called every checkEvery with the state of the stream; an error that
// it returns ends the feed.
func (f *feed) follow(
	ctx context.Context, handle func(m jetstream.Msg, sequence uint64) error,
	checkStream func(*jetstream.StreamInfo) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() { cancel(f.check(ctx, checkStream)) })
	for {
		var handled error
		err := f.next(ctx, func(m jetstream.Msg, sequence uint64) { handled = handle(m, sequence) })
		switch {
		case handled != nil:
			return handled
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
	}
}

// check waits until the feed has to end, and returns why.
func (f *feed) check(ctx context.Context, checkStream func(*jetstream.StreamInfo) error) error {
	ticker := time.NewTicker(f.checkEvery)
	defer ticker.Stop()
	created := f.stream.CachedInfo().Created
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if f.reconnects() != f.opened {
			return errReconnected
		}
		info, err := f.stream.Info(ctx)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return err
		case err != nil: // the server is busy; the heartbeats of the consumer decide
			continue
		case !info.Created.Equal(created):
			return errRecreated
		}
		if err := checkStream(info); err != nil {
			return err
		}
	}
}

// readStored handles the stored messages of a stream in their order, at most limit; 0 means all.
func (f *Fleet) readStored(
	ctx context.Context, s jetstream.Stream, cfg jetstream.ConsumerConfig, limit int, handle messageHandler,
) error {
	select {
	case f.readers <- struct{}{}:
		defer func() { <-f.readers }()
	case <-ctx.Done():
		return fmt.Errorf("wait for other readers: %w", ctx.Err())
	}
	var last uint64
	handleOnce := func(m jetstream.Msg, sequence uint64) {
		if sequence > last {
			last = sequence
			handle(m, sequence)
		}
	}
	return retryGaps(func() error { return f.readOnce(ctx, s, cfg, limit, handleOnce) })
}

// retryGaps calls read again while it returns errGap, up to readAttempts times in all.
func retryGaps(read func() error) (err error) {
	for range readAttempts {
		if err = read(); !errors.Is(err, errGap) {
			break
		}
	}
	return err
}

func (f *Fleet) readOnce(
	ctx context.Context, s jetstream.Stream, cfg jetstream.ConsumerConfig, limit int, handle messageHandler,
) error {
	fd, err := f.newFeed(ctx, s, cfg)
	if err != nil {
		return err
	}
	defer fd.close()
	return fd.catchUp(ctx, limit, handle)
}

// lastOfEachSubject selects the last message of each subject, in the order of the stream.
func lastOfEachSubject(headersOnly bool) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		FilterSubject: ">", DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, HeadersOnly: headersOnly,
	}
}
