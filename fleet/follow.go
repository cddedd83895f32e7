package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// followAgain is the pause before a stream that cannot be read is tried again.
const followAgain = 5 * time.Second

// follow reads the last registration of each node, and goes on with those that come.
func (f *Fleet) follow(ctx context.Context) error {
	feed, err := f.subscribe(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		f.o.Log.Warn("no stream of registrations, so there are no nodes to see", "stream", f.cfg.Stream)
	} else if err != nil {
		return fmt.Errorf("read registrations from %s: %w", f.cfg.Stream, err)
	}
	f.wg.Go(func() { f.keepFollowing(feed) })
	return nil
}

// subscribe gives a feed of registrations, once those are read that are stored.
func (f *Fleet) subscribe(ctx context.Context) (*feed, error) {
	s, err := f.js.Stream(ctx, f.cfg.Stream)
	if err != nil {
		return nil, err
	}
	feed, err := newFeed(ctx, s, lastOfEach(f.index.empty()))
	if err != nil {
		return nil, err
	}
	if err := feed.catchUp(ctx, 0, f.registered); err != nil {
		feed.messages.Stop()
		return nil, err
	}
	return feed, nil
}

// keepFollowing reads until the fleet closes. Where the stream went away, or is yet to
// come, it begins again with the last registration of each node.
func (f *Fleet) keepFollowing(feed *feed) {
	ctx := f.living
	for ctx.Err() == nil {
		var err error
		if feed == nil {
			feed, err = f.subscribe(ctx)
		}
		for err == nil {
			err = feed.next(ctx, f.registered)
		}
		if feed != nil {
			feed.messages.Stop()
			feed = nil
		}
		if ctx.Err() == nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			f.o.Log.Warn("registrations not read", "stream", f.cfg.Stream, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(followAgain):
		}
	}
}

// registered takes a stored registration.
func (f *Fleet) registered(m jetstream.Msg, _ uint64) {
	a, err := f.index.arrival(m.Subject(), m.Headers().Get, m.Data())
	if err != nil {
		f.unread.add(f.o.Log, m.Subject(), err, f.o.Now())
	}
	if a.name != "" {
		f.with(func(b *book, now time.Time) { b.registered(a, now) })
	}
}
