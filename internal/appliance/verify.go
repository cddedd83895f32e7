package appliance

import (
	"context"
	"errors"
	"time"

	"github.com/muster-appliance/muster/internal/integrity"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// verifyInterval is how often all stored messages are verified; the first time at start.
	verifyInterval = 24 * time.Hour
	// reverifyInterval is how long after streams could not be verified they are tried again.
	reverifyInterval = 10 * time.Minute
	// verifyRate is how many bytes a second are read for that.
	verifyRate = 16 << 20
	// rereadDelay is the pause before damaged messages are read again: they may have been written just then.
	rereadDelay = time.Second
)

// verifyMessages verifies the stored messages at start and once a day, until Close. The server
// itself notices a damaged message only when it is read, and then says that it does not exist.
func (a *Appliance) verifyMessages() {
	ctx := a.ctx
	for {
		next := verifyInterval
		streams, ok := a.broker.Streams()
		if !ok {
			next = rereadDelay
		}
		for _, s := range streams {
			if err := a.verifyStream(ctx, s.Name); err != nil && ctx.Err() == nil {
				a.opts.Log.Named("integrity").Warn("messages not verified", "stream", s.Name, "error", err)
				next = reverifyInterval
			}
		}
		if sleep(ctx, next); ctx.Err() != nil {
			return
		}
	}
}

// verifyStream looks for messages of a stream that cannot be read.
func (a *Appliance) verifyStream(ctx context.Context, stream string) error {
	pause := func(ctx context.Context, bytes int) { sleep(ctx, time.Second*time.Duration(bytes)/verifyRate) }
	damaged, err := a.broker.DamagedMessages(ctx, stream, pause)
	if err != nil || len(damaged) == 0 {
		return err
	}
	sleep(ctx, rereadDelay)
	again, err := a.broker.DamagedMessages(ctx, stream, pause)
	if err != nil {
		return err
	}
	gaps, err := a.gaps(stream)
	if err != nil {
		return err
	}
	lost, err := a.unreadable(ctx, stream, damaged.Within(again).Without(gaps))
	if err == nil && len(lost) > 0 {
		a.recorder.addDamaged(integrity.Finding{Stream: stream, Sequences: lost, Cause: "the store is damaged"}, time.Now())
	}
	return err
}

// unreadable returns those of the sequences that the server does not return.
func (a *Appliance) unreadable(
	ctx context.Context, stream string, sequences integrity.Ranges,
) (integrity.Ranges, error) {
	s, err := a.streams.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	var lost integrity.Ranges
	for _, r := range sequences {
		for sequence := r.First; sequence <= r.Last && ctx.Err() == nil; sequence++ {
			_, err := s.GetMsg(ctx, sequence)
			var answer *jetstream.APIError
			switch {
			case errors.Is(err, jetstream.ErrMsgNotFound) || errors.As(err, &answer):
				lost = lost.Join(integrity.Range{First: sequence, Last: sequence})
			case err != nil:
				return nil, err
			}
		}
	}
	return lost, ctx.Err()
}

// sleep waits until the time has passed or the context is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
