package fleet

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/muster-appliance/muster/internal/contract"
	"github.com/nats-io/nats.go/jetstream"
)

// followRetryDelay is the pause before a stream that cannot be read is tried again.
const followRetryDelay = time.Second

// followRegistrations reads the last registration of each node, and starts to follow new ones.
func (f *Fleet) followRegistrations(ctx context.Context) error {
	var feed *feed
	err := retryGaps(func() (err error) {
		feed, err = f.openRegistrations(ctx)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		f.opts.Log.Warn("stream of registrations does not exist, so the fleet view is empty", "stream", f.cfg.Stream)
	} else if err != nil {
		return fmt.Errorf("read registrations from %s: %w", f.cfg.Stream, err)
	}
	f.wg.Go(func() { f.keepFollowing(feed) })
	return nil
}

// openRegistrations returns a feed of new registrations, after it has read the stored ones.
func (f *Fleet) openRegistrations(ctx context.Context) (*feed, error) {
	s, err := f.js.Stream(ctx, f.cfg.Stream)
	if err != nil {
		return nil, err
	}
	feed, err := f.newFeed(ctx, s, lastOfEachSubject(f.index.empty()))
	if err != nil {
		return nil, err
	}
	if err := f.readRegistered(ctx, feed); err != nil {
		feed.close()
		return nil, err
	}
	return feed, nil
}

// readRegistered applies the stored registrations, on all cores: to unpack those of a large fleet takes
// minutes on one. Their order does not matter, because the last one of a node counts.
func (f *Fleet) readRegistered(ctx context.Context, feed *feed) error {
	messages := make(chan jetstream.Msg)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for m := range messages {
				f.handleRegistration(m, true)
			}
		})
	}
	err := feed.catchUp(ctx, 0, func(m jetstream.Msg, _ uint64) { messages <- m })
	close(messages)
	workers.Wait()
	return err
}

// keepFollowing reads registrations until the fleet closes. When the feed ended or the stream
// does not exist yet (feed is nil), it starts again with the last registration of each node: the
// stream may have been created anew, with other sequences.
func (f *Fleet) keepFollowing(feed *feed) {
	for f.ctx.Err() == nil {
		var err error
		if feed == nil {
			feed, err = f.openRegistrations(f.ctx)
		}
		if feed != nil {
			err = feed.follow(f.ctx, func(m jetstream.Msg, _ uint64) error {
				f.handleRegistration(m, false)
				return nil
			}, func(*jetstream.StreamInfo) error { return nil })
			feed.close()
			feed = nil
			f.opts.Log.Debug("registrations are read anew", "stream", f.cfg.Stream, "error", err)
		} else if f.ctx.Err() == nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			f.logNotRead(f.cfg.Stream, err)
		}
		select {
		case <-f.ctx.Done():
		case <-time.After(followRetryDelay):
		}
	}
}

// logNotRead logs that registrations or forwarded events cannot be read, at most once a minute for each stream.
func (f *Fleet) logNotRead(stream string, err error) {
	if count, log := f.unread.Add(stream, 1, f.opts.Now()); log {
		f.opts.Log.Warn("stream not read", "stream", stream, "count", count, "error", err)
	}
}

// handleRegistration applies a registration, see update.replayed. One whose content cannot be read
// still counts as a registration of its node.
func (f *Fleet) handleRegistration(m jetstream.Msg, replayed bool) {
	u, err := newUpdate(m.Subject(), m.Headers().Get)
	u.replayed = replayed
	if u.name != "" && (replayed && !f.index.empty() || f.readsFacts(u)) {
		began := f.opts.Now()
		u.facts, err = f.index.indexContent(m.Headers().Get(contract.HeaderContent), m.Data())
		u.factsRead = true
		if !replayed { // all of those are read, whatever it costs
			f.budget.spend(f.opts.Now().Sub(began))
		}
	}
	if err != nil {
		f.logUnreadable(m.Subject(), err)
	}
	if u.facts != nil && u.facts.omitted > 0 {
		f.countOmitted(u)
	}
	if u.name != "" {
		f.withRegistry(func(r *registry, now time.Time) { r.registered(u, now) })
	}
}

// countOmitted counts what the index does not keep of a registration, and logs it at most once a minute.
func (f *Fleet) countOmitted(u update) {
	f.omitted.Add(uint64(u.facts.omitted))
	if count, log := f.omissions.Add("", uint64(u.facts.omitted), f.opts.Now()); log {
		f.opts.Log.Warn("facts, classes, agents or collectives not indexed: beyond the limits", "node", u.name,
			"count", count)
	}
}
