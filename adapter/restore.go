package adapter

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// restoreTimeout is how long reading the signed times of all senders may take.
	restoreTimeout = 2 * time.Minute
	// restoreStall is how long the stream may take for the next message.
	restoreStall = 5 * time.Second
	// restorePulled is how many messages the client library requests ahead.
	restorePulled = 5000
	// consumerThreshold is when the server deletes a consumer that this process did not delete.
	consumerThreshold = time.Minute
	// deleteTimeout is how long the deletion of a consumer may take.
	deleteTimeout = 2 * time.Second
)

// restoreSignedTimes reads from the stream when the senders have signed messages, before the first
// message is received. Without it a copy of a message that was stored before the start could be
// accepted. It does not keep the adapter from starting.
func (a *Adapter) restoreSignedTimes(ctx context.Context) {
	if a.cfg.Verify == verifyOff || !a.opts.Verifier.CanVerify() || len(a.cfg.Stream.Servers) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	count, err := a.readSignedTimes(ctx)
	if err != nil {
		a.opts.Log.Warn("signed times not read; copies of old messages may be accepted",
			"stream", a.opts.Stream, "error", err)
		return
	}
	a.opts.Log.Debug("signed times read", "stream", a.opts.Stream, "count", count)
}

// readSignedTimes returns how many messages it has read.
func (a *Adapter) readSignedTimes(ctx context.Context) (count int, err error) {
	if a.opts.Stream == "" {
		return 0, nil // messages wait until there is one
	}
	nc, err := a.opts.Connect("choria adapter " + a.cfg.Name + " restore")
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	s, err := js.Stream(ctx, a.opts.Stream)
	if err != nil {
		return 0, err
	}
	c, err := s.CreateConsumer(ctx, a.restoreConsumer())
	if err != nil {
		return 0, fmt.Errorf("create a consumer: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
		defer cancel()
		_ = s.DeleteConsumer(ctx, c.CachedInfo().Name)
	}()
	return a.readSenders(ctx, c)
}

// restoreConsumer returns a consumer of the headers that say when each sender has signed its newest
// message. Where the sender is a part of the subject, the last message of each subject has it.
func (a *Adapter) restoreConsumer() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		FilterSubject: a.cfg.Stream.Topic, DeliverPolicy: jetstream.DeliverAllPolicy, HeadersOnly: true,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerThreshold,
	}
	if before, _, found := strings.Cut(a.cfg.Stream.Topic, "%s"); found {
		cfg.FilterSubject = before[:strings.LastIndexByte(before, '.')+1] + ">"
		cfg.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
	}
	return cfg
}

// readSenders reads the messages of the consumer, and returns how many there were.
func (a *Adapter) readSenders(ctx context.Context, c jetstream.Consumer) (count int, err error) {
	unread := c.CachedInfo().NumPending
	messages, err := c.Messages(jetstream.PullMaxMessages(restorePulled), jetstream.PullHeartbeat(restoreStall/2))
	if err != nil {
		return 0, err
	}
	defer messages.Stop()
	for unread > 0 {
		waiting, cancel := context.WithTimeout(ctx, restoreStall)
		m, err := messages.Next(jetstream.NextContext(waiting))
		cancel()
		if err != nil {
			return count, fmt.Errorf("read message %d of %d: %w", count+1, count+int(unread), err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return count, err
		}
		unread = meta.NumPending
		count++
		a.restoreSender(m)
	}
	return count, nil
}

// restoreSender remembers when the sender of a stored message has signed it, or a newer one, if
// this adapter has verified and stored it.
func (a *Adapter) restoreSender(m jetstream.Msg) {
	h := m.Headers()
	sender := h.Get(contract.HeaderSender)
	if sender == "" || !isVerified(h.Get(contract.HeaderVerified)) ||
		!strings.HasPrefix(h.Get(contract.HeaderMsgID), a.cfg.Name+"/"+sender+"/") {
		return
	}
	for _, key := range []string{contract.HeaderTime, contract.HeaderNewest} {
		if signed, err := time.Parse(time.RFC3339Nano, h.Get(key)); err == nil {
			a.mu.Lock()
			a.signedTimes.restore(sender, signed)
			a.mu.Unlock()
		}
	}
}
